"""The manifest and the script for clusters: their syntax, their fields, the command they start."""

import re
import shlex
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.pages import ROOT, blocks
from tspcrep.common.options import complaint, options_of

HOW_TO = ROOT / "docs" / "how-to"


def assert_starts(words, nodes):
    """torchrun on so many nodes, with a tool of ours and options that it has."""
    place = next(i for i, word in enumerate(words) if word.startswith("tools/"))
    flags = dict(word.removeprefix("--").split("=") for word in words[:place])
    assert flags["nnodes"] == nodes and int(flags["nproc-per-node"]) > 0
    assert complaint(options_of(ROOT / words[place]), words[place + 1 :]) is None
    return flags


def test_the_manifest():
    service, job = yaml.safe_load_all((HOW_TO / "kubernetes.yaml").read_text("utf-8"))
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert service["spec"]["clusterIP"] == "None"  # of a headless service, a name in DNS
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"]
    assert pod["restartPolicy"] == "Never" and spec["backoffLimit"] > 0
    assert pod["subdomain"] == service["metadata"]["name"]
    (container,) = pod["containers"]
    assert container["command"] == ["torchrun"]
    flags = assert_starts(container["args"], str(spec["completions"]))
    assert flags["node-rank"] == "$(JOB_COMPLETION_INDEX)"
    assert flags["master-addr"] == f"{job['metadata']['name']}-0.{pod['subdomain']}"
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert int(container["resources"]["requests"]["cpu"]) == int(flags["nproc-per-node"])


def test_the_script_of_slurm():
    script = (HOW_TO / "slurm.sh").read_text("utf-8")
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)", script, flags=re.M))
    assert asked["nodes"] == "2" and asked["ntasks-per-node"] == "1"  # torchrun once a node
    (command,) = re.findall(r"^srun torchrun (.*)$", script.replace("\\\n", " "), flags=re.M)
    words, joined = shlex.split(command), []
    for word in words:  # --nnodes 2 as --nnodes=2
        if (
            joined
            and not word.startswith(("--", "tools/"))
            and not any("tools/" in w for w in joined)
        ):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    flags = assert_starts(joined, "$SLURM_NNODES")
    assert flags["nproc-per-node"] == asked["cpus-per-task"]
    assert flags["rdzv-endpoint"] == "$first:29500"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_reads_the_script():
    done = subprocess.run(["bash", "-n", HOW_TO / "slurm.sh"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_wrapper_for_spark_gives_each_row_its_vector():
    """Spark hands a wrapper an iterator of frames and takes an iterator of frames."""
    page = (HOW_TO / "larger-than-memory.md").read_text("utf-8")
    names: dict = {}
    for block in [b.text for b in blocks(page) if b.language == "python"][:2]:
        exec(block, names)
    whole = pd.DataFrame({"id": list("abc"), "values": [[1.0, 2, 4, 3], [5.0, 3, 1], [2.0, 0]]})
    found = pd.concat(names["frames"](iter([whole[:2], whole[2:]])))
    assert list(found["id"]) == list("abc")
    for values, vector in zip(whole["values"], found["vector"], strict=True):
        alone = names["embed"]({"values": np.array([values])})["vector"][0]
        np.testing.assert_allclose(vector, alone, rtol=1e-4, atol=1e-5)
