"""What ops are called on in examples, where that is more than one tensor."""

from __future__ import annotations

from typing import Any

# Arguments by position, with the names of the ops that are called so.
ALIKE: tuple[tuple[list[Any], str], ...] = (
    (
        ["$x", "$y"],
        (
            "add mul F.cosine_similarity F.grid_sample F.pairwise_distance torch.add torch.atan2 torch.bmm "
            "torch.bucketize torch.cdist torch.cross torch.div torch.dot torch.eq torch.ge torch.gt torch.kron "
            "torch.le torch.logical_and torch.logical_or torch.lt torch.masked_select torch.matmul torch.maximum "
            "torch.minimum torch.mm torch.mul torch.mv torch.ne torch.outer torch.pow torch.remainder "
            "torch.searchsorted torch.sub torch.take_along_dim torch.tensordot"
        ),
    ),
    (
        ["$x", "$y", "$w"],
        "F.scaled_dot_product_attention torch.addcmul torch.addmm torch.baddbmm torch.lerp torch.where",
    ),
    ([["$x", "$y"]], "cat stack torch.cat torch.stack"),
    (
        ["$x", 0],
        (
            "getitem torch.cumsum torch.cummax torch.cumprod torch.log_softmax torch.logsumexp torch.softmax "
            "torch.unsqueeze"
        ),
    ),
    (
        ["$x", 2],
        (
            "F.avg_pool1d F.avg_pool2d F.adaptive_avg_pool1d F.adaptive_avg_pool2d F.adaptive_max_pool2d "
            "F.max_pool1d F.max_pool2d F.pixel_shuffle F.pixel_unshuffle F.unfold F.group_norm torch.chunk "
            "torch.multinomial torch.repeat_interleave torch.roll torch.split torch.topk"
        ),
    ),
    (["$x", [1, 0]], "torch.permute"),
    (["$x", [0]], "torch.flip"),
    (["$x", [2, 8]], "F.layer_norm F.rms_norm F.pad torch.broadcast_to torch.reshape torch.tile"),
    (["$x", 0, 1], "torch.movedim torch.select torch.swapaxes torch.transpose"),
    (["$x", 0, "$y"], "torch.gather torch.index_select"),
    (["$x", 0, "$y", "$w"], "torch.scatter torch.scatter_add"),
    (["$x", "$y", 0.0], "torch.masked_fill"),
    (["$x", 0.5], "torch.full_like torch.quantile"),
    (["$x", 0, 0, 2], "torch.narrow"),
    (["$x", 1, [2, 4]], "torch.unflatten"),
    (["$x", [8, 8], 2], "F.fold"),
    (["$x", [1, 1, 8, 8]], "F.affine_grid"),
    ([8], "torch.arange"),
    (["ij,jk->ik", "$x", "$y"], "torch.einsum"),
)
BY_OP = {name: args for args, names in ALIKE for name in names.split()}
