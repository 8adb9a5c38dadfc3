"""Which numbers matrices are multiplied in."""

from collections.abc import Callable
from typing import Any

import torch


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Tell whether a recipe's "float32", "bfloat16" or "auto" means bfloat16 on a device."""
    return precision == "bfloat16" or (precision == "auto" and _fast_bfloat16(device))


def _fast_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # absent in older torch
    found = capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
