"""The names of torch's classes as of torch 2.13, kept as text so that listing keys costs no import of torch."""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NN_MODULES: tuple[str, ...] = words(
    """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss AdaptiveMaxPool1d
    AdaptiveMaxPool2d AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d AvgPool3d BCELoss BCEWithLogitsLoss
    BatchNorm1d BatchNorm2d BatchNorm3d Bilinear CELU CTCLoss ChannelShuffle CircularPad1d CircularPad2d
    CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d Container Conv1d Conv2d Conv3d ConvTranspose1d
    ConvTranspose2d ConvTranspose3d CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss CrossMapLRN2d
    DataParallel Dropout Dropout1d Dropout2d Dropout3d ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold
    FractionalMaxPool2d FractionalMaxPool3d GELU GLU GRU GRUCell GaussianNLLLoss GroupNorm Hardshrink Hardsigmoid
    Hardswish Hardtanh HingeEmbeddingLoss HuberLoss Identity InstanceNorm1d InstanceNorm2d InstanceNorm3d
    KLDivLoss L1Loss LPPool1d LPPool2d LPPool3d LSTM LSTMCell LayerNorm LazyBatchNorm1d LazyBatchNorm2d
    LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d
    LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LazyLinear LeakyReLU Linear LinearCrossEntropyLoss
    LocalResponseNorm LogSigmoid LogSoftmax MSELoss MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d
    MaxUnpool2d MaxUnpool3d Mish Module ModuleDict ModuleList MultiLabelMarginLoss MultiLabelSoftMarginLoss
    MultiMarginLoss MultiheadAttention NLLLoss NLLLoss2d PReLU PairwiseDistance ParameterDict ParameterList
    PixelShuffle PixelUnshuffle PoissonNLLLoss RMSNorm RNN RNNBase RNNCell RNNCellBase RReLU ReLU ReLU6
    ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU
    Sequential SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax Softmax2d Softmin Softplus Softshrink Softsign
    SyncBatchNorm Tanh Tanhshrink Threshold Transformer TransformerDecoder TransformerDecoderLayer
    TransformerEncoder TransformerEncoderLayer TripletMarginLoss TripletMarginWithDistanceLoss Unflatten Unfold
    Upsample UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
    """
)

# These pass `*args, **kwargs` on, so their own signature says little.
OPEN_SIGNATURES: tuple[str, ...] = words(
    """
    Container GRU Identity LSTM LogSigmoid Module NLLLoss2d RNN Sigmoid Softmax2d Softsign Tanh Tanhshrink
    """
)

OPTIMIZERS: tuple[str, ...] = words(
    """
    ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam RAdam RMSprop Rprop SGD SparseAdam
    """
)

# Those that take plain data: none that wants a function (LambdaLR, MultiplicativeLR) or other schedulers (SequentialLR,
# ChainedScheduler).
SCHEDULERS: tuple[tuple[str, str], ...] = (
    ("ConstantLR", "torch.optim.lr_scheduler"),
    ("CosineAnnealingLR", "torch.optim.lr_scheduler"),
    ("CosineAnnealingWarmRestarts", "torch.optim.lr_scheduler"),
    ("CyclicLR", "torch.optim.lr_scheduler"),
    ("ExponentialLR", "torch.optim.lr_scheduler"),
    ("LinearLR", "torch.optim.lr_scheduler"),
    ("MultiStepLR", "torch.optim.lr_scheduler"),
    ("OneCycleLR", "torch.optim.lr_scheduler"),
    ("PolynomialLR", "torch.optim.lr_scheduler"),
    ("ReduceLROnPlateau", "torch.optim.lr_scheduler"),
    ("StepLR", "torch.optim.lr_scheduler"),
    ("SWALR", "torch.optim.swa_utils"),
)
