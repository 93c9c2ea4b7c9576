"""Encoders as folders in the form of the Hugging Face hub: weights, configuration, model card.

    model.safetensors   the file that ``save_encoder`` writes
    config.json         its configuration, to be read by people
    README.md           a short model card, with the header that the hub reads

The form is that of the hub's documentation ("Model cards"; "Uploading models"). The package
``huggingface_hub`` alone speaks with the hub, and is needed for nothing else.
"""

import os
import re
from pathlib import Path

from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_json, write_text
from tspcrep.common.weights import CARD, CONFIG, MODEL, public_config, read_encoder

_CARD = """---
license: {license}
library_name: tspcrep
tags:
{tags}
---
# {title}

An encoder of {what}, {kind}, of {count:,} numbers.

```python
from {package} import from_pretrained

encoder = from_pretrained("owner/name")  # or this folder
```

Say here what it was trained on, with which command, and what it reaches beside which controls.
"""


def describe(folder: str | Path, package: str, what: str, license: str, tags: tuple[str, ...]):
    """Write ``config.json`` and ``README.md`` beside the ``model.safetensors`` of a folder.

    A model card that is there stays: somebody may have written into it.

    package : that which loads the encoder. what : what it encodes. license : the hub's identifier.
    """
    folder = Path(folder)
    (folder / CONFIG).unlink(missing_ok=True)  # of an encoder that was here before
    kind, config, tensors = read_encoder(folder / MODEL)
    write_json(folder / CONFIG, public_config(kind, config))
    if (folder / CARD).exists():
        return
    text = _CARD.format(
        license=license,
        tags="\n".join(f"- {tag}" for tag in tags),
        title=folder.resolve().name,
        what=what,
        kind=kind,
        count=sum(tensor.numel() for tensor in tensors.values()),
        package=package,
    )
    write_text(folder / CARD, text)


def local_folder(name: str | Path, revision: str | None = None) -> Path:
    """The folder ``name``, or that of the hub's model ``owner/name`` in the hub's cache.

    A folder, and a model that is in the cache, need no network and are taken as they are. Others
    are downloaded: weights, configuration and model card, no other file.

    revision : branch, tag or commit on the hub; None for its default branch.

    Raises
    ------
    UserError
        Neither a folder nor a name; no such model; no network; ``huggingface_hub`` is not
        installed (extra ``hub``).
    """
    if os.path.isdir(name):
        return Path(name)
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(name), re.ASCII):
        raise UserError(f"{name}: no such folder; expected one, or a model as owner/name")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(
            f"{name}: no such folder; models of the Hugging Face hub need the package "
            "huggingface_hub: pip install 'tspcrep[hub]'"
        ) from None

    def snapshot(local: bool) -> Path:
        files = [MODEL, CONFIG, CARD]
        return Path(
            snapshot_download(
                str(name), revision=revision, allow_patterns=files, local_files_only=local
            )
        )

    try:
        cached = snapshot(local=True)
        if (cached / MODEL).exists():  # else a download that was cut short
            return cached
    except (OSError, ValueError):  # the library's errors are among these
        pass
    try:
        return snapshot(local=False)
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{name}: no such folder, not in the cache, and not to be had from the hub: {reason}"
        ) from None
