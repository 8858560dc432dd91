"""Rewrite source distributions so that the same files give the same bytes: ``python same_bytes.py dist/*.tar.gz``.

Setuptools writes into them who built them and when. ``SOURCE_DATE_EPOCH`` is the time, as in wheels.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path


def plain(member: tarfile.TarInfo, time: int) -> tarfile.TarInfo:
    """The member without its owner, its time, and permissions beyond "executable"."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = time
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    member.pax_headers = {}
    return member


def rewritten(data: bytes, time: int) -> bytes:
    """The same files, in the order of their names."""
    out, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as source, tarfile.open(fileobj=out, mode="w") as target:
        for member in sorted(source.getmembers(), key=lambda member: member.name):
            target.addfile(plain(member, time), source.extractfile(member))
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=time) as file:
        file.write(out.getvalue())
    return packed.getvalue()


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_bytes(rewritten(path.read_bytes(), int(os.environ["SOURCE_DATE_EPOCH"])))
