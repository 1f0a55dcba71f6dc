"""What this processor and this torch can do. Whatever not every machine has is asked for here before it is used."""

from __future__ import annotations

import torch

PACKED = ("_reorder_convolution_weight", "_convolution_pointwise")  # of torch.ops.mkldnn, not public: a torch may lack them
IN_HARDWARE = ("amx_bf16", "avx512_bf16")  # products of bfloat16 that oneDNN makes use of
NO_BF16 = "This machine does not multiply bfloat16 in hardware: float32 is used, which is quicker."


def has_fast_bf16(device: torch.device | str = "cpu") -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulation is five times slower than float32."""
    device = torch.device(device)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in IN_HARDWARE) and onednn_takes_bf16()
    if device.type != "cuda" or not torch.cuda.is_available():
        return False
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


def usable_precision(wanted: str, device: torch.device | str) -> tuple[str, str]:
    """ "float32" or "bf16" for ``wanted``, which may also be "auto", and a word where it is not what was wanted."""
    if wanted == "float32":
        return wanted, ""
    if has_fast_bf16(device):
        return "bf16", ""
    return "float32", NO_BF16 if wanted == "bf16" else ""


def packs_weights(dtype: torch.dtype) -> bool:
    """Whether oneDNN can bring a convolution's weights of ``dtype`` into its own order once, for all pictures."""
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in PACKED):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and onednn_takes_bf16())


def onednn_takes_bf16() -> bool:
    """Whether oneDNN computes with bfloat16 here at all, by what the processor has and ONEDNN_MAX_CPU_ISA leaves of it."""
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return torch.backends.mkldnn.is_available() and asked is not None and asked()
