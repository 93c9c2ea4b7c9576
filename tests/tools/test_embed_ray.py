"""Shards through Ray Data on a cluster of two nodes. Skipped without the extra ``ray``."""

import pytest

from tests.tools.shards import DieOnce, assert_twice, fill
from tspcrep.common.errors import UserError
from tspcrep.common.ray_data import map_with_ray
from tspcrep.common.shards import Work, missing_shards

ray = pytest.importorskip("ray", reason="needs Ray: pip install -e '.[ray]'")
pytestmark = [pytest.mark.distributed, pytest.mark.filterwarnings("ignore")]  # Ray's own


@pytest.fixture(scope="module")
def two_nodes():
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        cluster.add_node(**node)
        ray.init(address=cluster.address, log_to_driver=False)
        yield
        ray.shutdown()
        cluster.shutdown()


def test_every_row_once_though_a_worker_is_killed(two_nodes, tmp_path):
    data, output = tmp_path / "in", tmp_path / "out"
    fill(data)
    marker = tmp_path / "killed"
    work = Work(DieOnce(marker), {"twice": True})
    rows = list(map_with_ray(work, missing_shards(data, output, work), None))
    assert marker.exists() and sum(rows) == 120
    assert_twice(output, 120)
    assert missing_shards(data, output, work) == []


def refuse(table):
    raise UserError("row 3: found nothing")


def test_what_cannot_be_used_is_one_line(two_nodes, tmp_path):
    fill(tmp_path / "in", files=1)
    work = Work(refuse, {})
    with pytest.raises(UserError, match=r"part\.parquet: row 3: found nothing"):
        list(map_with_ray(work, missing_shards(tmp_path / "in", tmp_path / "out", work), None))
