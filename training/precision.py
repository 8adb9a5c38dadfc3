"""Which numbers matrices are multiplied in."""

from collections.abc import Callable
from typing import Any

import torch


def uses_bfloat16(precision: str) -> bool:
    """Tell whether a recipe's "float32", "bfloat16" or "auto" means bfloat16 on this machine."""
    return precision == "bfloat16" or (precision == "auto" and _fast_bfloat16())


def _fast_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 matrices in hardware."""
    capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # absent in older torch
    return bool(capabilities().get("amx_bf16"))
