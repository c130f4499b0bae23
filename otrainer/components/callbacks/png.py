"""Images as PNG files, by the standard library alone: one, or a batch of them as a grid."""

from __future__ import annotations

import struct
import zlib
from math import ceil

import torch

HEAD = b"\x89PNG\r\n\x1a\n"
KINDS = {1: 0, 3: 2}  # colour type by channels: grey, or red, green and blue
GAP = 2  # pixels between two images of a grid, and around them


def is_image(value: torch.Tensor) -> bool:
    """Return whether a tensor is an image `[C, H, W]`, or a batch of them, of one or three channels and some pixels.

    Its values are bytes, truth values or floats: whole numbers of other types may be anything.
    """
    has_values = value.is_floating_point() or value.dtype in (torch.uint8, torch.bool)
    return has_values and value.dim() in (3, 4) and value.shape[-3] in KINDS and value.numel() > 0


def as_bytes(images: torch.Tensor, low: float, high: float) -> tuple[torch.Tensor, float]:
    """Return images with values from 0 to 255, and which share of theirs was cut off for that.

    Bytes are taken as they are, truth values as black and white, and all others from `low` (0) to `high` (255).
    What is no number is black, and cut off.
    """
    if images.dtype == torch.uint8:
        return images, 0.0
    if images.dtype == torch.bool:
        return images.to(torch.uint8) * 255, 0.0
    share = (images.double() - low) / (high - low)
    outside = ~((share >= 0) & (share <= 1))
    # Rounded as `torchvision.utils.save_image` does.
    pixels = share.float().nan_to_num(0.0).mul(255).add(0.5).clamp(0, 255).to(torch.uint8)
    return pixels, outside.double().mean().item()


def grid(images: torch.Tensor, columns: int) -> torch.Tensor:
    """Return a batch `[N, C, H, W]` as one image, `columns` beside each other, with black between them.

    As `torchvision.utils.make_grid` does; a single one is returned as it is.
    """
    if images.dim() == 3 or len(images) == 1:
        return images.reshape(images.shape[-3:])
    count, channels, height, width = images.shape
    across = min(columns, count)
    down = ceil(count / across)
    size = (channels, down * (height + GAP) + GAP, across * (width + GAP) + GAP)
    sheet = images.new_zeros(size)
    for number, image in enumerate(images):
        row, column = divmod(number, across)
        top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def png(pixels: torch.Tensor) -> bytes:
    """Return an image `[C, H, W]` of bytes as a PNG file (RFC 2083)."""
    channels, height, width = pixels.shape
    rows = torch.zeros(height, 1 + width * channels, dtype=torch.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels.permute(1, 2, 0).reshape(height, -1)
    data = bytearray(rows.numel())
    torch.frombuffer(data, dtype=torch.uint8).copy_(rows.flatten())
    head = struct.pack(">IIBBBBB", width, height, 8, KINDS[channels], 0, 0, 0)
    return HEAD + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(data), 6)) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
