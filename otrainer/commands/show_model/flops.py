"""torch's counter of FLOPs, taught the attention that torch computes on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_backward_flop_count, sdpa_flop_count

ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"


def flop_counter() -> FlopCounterMode:
    """Count a multiplication and an addition as two, as torch does, for matrix products and convolutions."""
    forward, backward = getattr(torch.ops.aten, ATTENTION), getattr(torch.ops.aten, f"{ATTENTION}_backward")
    formulas: dict[Any, Any] = {forward: attention, backward: attention_backward}
    missing = {op: formula for op, formula in formulas.items() if op not in flop_registry}
    return FlopCounterMode(display=False, custom_mapping=missing)


def attention(query: Any, key: Any, value: Any, *_args: Any, **_kwargs: Any) -> int:
    """Count two matrix products, causal or not, as torch does for its other fused attentions."""
    return int(sdpa_flop_count(query, key, value))


def attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_args: Any, **_kwargs: Any) -> int:
    """Count the scores once more and four matrix products, as torch does for its other fused attentions."""
    return int(sdpa_backward_flop_count(gradient, query, key, value))
