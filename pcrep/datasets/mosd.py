"""mOSD: boxes and cylinders on a table, seen by an RGB-D camera; and the task mOSD-3 on it.

The modified Object Segmentation Database of S. Alexandrov, after A. Richtsfeld et al., IROS 2012.
Files are named ``learn0.pcd``, ``test31.pcd``, ...; the number tells the kind of objects in the
scene. mOSD-3 is a segmentation into table, box and cylinder, where the class of an object is that
of its scene. Scenes with objects of both kinds have no class: those of the learn set are used for
pretraining, those of the test set not at all.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.folders import files_below
from pcrep.datasets.formats import load_points
from pcrep.datasets.layouts import LEARN, TEST, UNLABELLED, Layout
from tspcrep.common.errors import UserError

CLASSES = ("table", "box", "cylinder")
THINGS = CLASSES[1:]
# First and last number of the scenes whose objects are all of one class.
_OF_ONE_CLASS = {
    ("learn", "box"): (0, 20),
    ("learn", "cylinder"): (33, 44),
    ("test", "box"): (0, 5),
    ("test", "cylinder"): (31, 36),
}
_NAME = re.compile(r"(learn|test)(\d+)\.pcd$")


def _files(folder: Path) -> list[Path]:
    """Scenes below ``folder``: learn before test, then by number."""
    found = [(match, path) for path in files_below(folder) if (match := _NAME.match(path.name))]
    return [path for _, path in sorted(found, key=lambda f: (f[0][1], int(f[0][2])))]


def _scene(path: Path) -> Cloud:
    """A scene in the camera's coordinates: x right, y down, z ahead, metres.

    The annotation numbers parts: 1-9 the table, 20-29 the first object, 30-39 the second, and so
    on. ``label`` is 0 for the table and the class of the scene, or -1, for objects. ``instance`` is
    0, 1, ... for objects and -1 for the table: ``instance >= 0`` is the true foreground.
    """
    cloud = load_points(path)
    if cloud.label is None:
        raise UserError(f"{path}: has no field label, expected the annotation of mOSD")
    table = cloud.label < 20
    return replace(
        cloud,
        label=np.where(table, 0, _object_class(path)),
        instance=np.where(table, -1, cloud.label // 10 - 2),
    )


def _object_class(path: Path) -> int:
    """Class of all objects of a scene, an index into ``CLASSES``; -1 for several or no known."""
    match = _NAME.match(path.name)
    if match is None:
        return -1
    part, number = match.groups()
    for (of_part, name), (first, last) in _OF_ONE_CLASS.items():
        if part == of_part and first <= int(number) <= last:
            return CLASSES.index(name)
    return -1


def _part(path: Path, folder: Path) -> str | None:
    """The part of mOSD-3 that a scene belongs to."""
    if path.name.startswith("learn"):
        return LEARN if _object_class(path) >= 0 else UNLABELLED
    return TEST if _object_class(path) >= 0 else None


LAYOUT = Layout("mOSD", _files, _scene, lambda path: path.stem, _part, CLASSES, THINGS)

# Test data of PCL, at a fixed commit.
URL = (
    "https://raw.githubusercontent.com/PointCloudLibrary/data/"
    "5c26bdd0591ba150b91858b5c9fe5e91cb39ae86/segmentation/mOSD/"
)
LICENCE = "research use"
SHA256 = {
    "learn0.pcd": "e103378b01afaa96bc6f40760074e578f9f65da0c1f8db2b8e078cfa880e0f51",
    "learn1.pcd": "06d66e51160967205b4098b759676ce94d825260337c60456ee2e801b2b9f483",
    "learn2.pcd": "3b78d9fc340e91128484a2e547dd4a73d38254d31e53871142d1be9eb1f2cc9b",
    "learn3.pcd": "698c80f4a2e16322c03d1d4962007148b8e4663d8b57be363f423a6cd5edb65a",
    "learn4.pcd": "12e2eb874b6e213a3deda6cac0c14865762bb45a53110279453034a9ca447b47",
    "learn5.pcd": "168bcdc60eddb18035d3d1392cfbd7294f96a243ed1df852bc4d0058c52674dd",
    "learn6.pcd": "72810cd820a93dd1eec3d293159ab969266f7859309600d3e08f1e28b4293f26",
    "learn7.pcd": "d44143100d664abce427aef339d378e2fdc70eef5ed0c3164198ff2d59d27619",
    "learn8.pcd": "9e2b6cd6ea1df9ff8611fc4739c6e75f591c0d07b01cf23c3498aa59ca7206a8",
    "learn9.pcd": "e7409070b35f2f6b7ae4058b19197e463936eead8fab357ba3a2eeef7a4558e6",
    "learn10.pcd": "612b333615178dbe301cebda601e5f0178d3e087d42bf7ba75adda80740f380e",
    "learn11.pcd": "e9f9e244dccc881776feefb950c5f7175660dac91ddf759a49a09ef0353e02fc",
    "learn17.pcd": "d5b28c139cb81b0a8d7b05c6519062a75f04f4d7adbab119f454f6134bfe705d",
    "learn18.pcd": "3bf0c08a0e6aff087388714d322fe0104e2fceca64c56b7a3b67c9bd646f8130",
    "learn19.pcd": "fd311737cafdc37102c6c4d98501ab621732603e972650989414d25ec4b6efbf",
    "learn20.pcd": "b59b805293571b4949e401d1a8f30941da3020027322c570afc02cd5dfcc70f8",
    "learn25.pcd": "34f2a141bbe2ddf423ebfdb989b8d06aa591039b3e3ebcb9bd5790427eb063c7",
    "learn26.pcd": "c99e033d80903c00fd86463ebdfb442944b6b525ea7f8b8c832c190901744421",
    "learn27.pcd": "dada105911a50a472938221e58f1f81aeedf74e731f4bb78cb826b8d1f13c116",
    "learn28.pcd": "4efa599b815ba6a446f57385b245e34bc5a13e828d20906bef1b0bd75ead8396",
    "learn33.pcd": "89b95c3bee2bb01244bf98e96bc7a396f80595f85909448ab107781dd36f6fdc",
    "learn34.pcd": "7a1bfed36334b68353df53566367e69fbe1ccda7428e1bdba45e179ed6ed4035",
    "learn35.pcd": "1c63fb77709b32cddbdce10b2424be5510b6f4ebc4bf716d8f252ddc5804075c",
    "learn36.pcd": "b4e7a4657dc06bbaf93fa74f9e0a8d0cc466b3b2a55d70d2f3e0feee4bac04ad",
    "learn37.pcd": "e811cea0f88b8ec54842ec7e6fc582d22e0d63cb72cc2402236343a599fb85c2",
    "learn38.pcd": "34e207c65d45b28f28af65f17a1ed71bd645d40be0ee498fa442a5a72d000ab7",
    "learn39.pcd": "3810bfff7d5268913799c3d7bfe17cd91b1b67add8b2acd30a34897c68739e01",
    "learn40.pcd": "73cd796b667aab94f516948da519a9bc8829081364125cbc08fcafa6cee7a4b8",
    "learn41.pcd": "87706b1b4efca8187f7b8546e156f1d30d1f4cd2488d9b1ae8fb1705ecb56859",
    "learn42.pcd": "76e0e9c6402e41fabf6574050c7b11ba882530cc7c8c742328c41f9da4b4f308",
    "learn43.pcd": "4251cc6a882e53491ee968be4e4e00055b3eae7f8fe20803ab644667beb06204",
    "learn44.pcd": "2cd48b980317ce50c80625eaec328526a2779760ebe5a2e87568b005e7015aff",
    "test0.pcd": "207e4551e3acb5377e6074db1978fb744a4acce20ace83c8409613d528721f13",
    "test1.pcd": "77375fb7adb75fc79f163c452f44023d516f90dbae1481048c5e9d5475fb89f5",
    "test2.pcd": "67f34580d3534cd74662f66a0f51e539d1b170736bff069a6aafc23f8dbc3944",
    "test3.pcd": "af39fcad168ea8cfac38c23050b7d38d4e11958d39ffb49ff157c63714d8c851",
    "test4.pcd": "9cea4ba81f587d31185e4fb902515cca98a8f4c03d12369bd331a57de1f52675",
    "test5.pcd": "9fa0d9f9acb3a97c06fa7f5f384bfee716328f04698a4d5ae5b8b0fea962e99f",
    "test31.pcd": "f5549cd367203c4e514e5f7948fd2b18aa49f6197a21ed18a8fd95b373e8d429",
    "test32.pcd": "a22ddcb40e70fdd7ce5c5b99741a0da7e4f2bf47f1f7eb8b114038c06834dff8",
    "test33.pcd": "932434418eb7fe8c12903b814f0d1702114c2f9f4397b180d245eef96ab502d7",
    "test34.pcd": "13d89ca2250286e8c6f3a953cf162e6773f3722e190255034e922c91c6d7c547",
    "test35.pcd": "9951fdda4cc4aeb9d7b45bdd21ef79a97ef79014992ede65776e7b66bfb34ab3",
    "test36.pcd": "4389a2b01705e6f867e7d143ee391b5fa17cbaa84cc692ea0af4f03e2be5e008",
    "test43.pcd": "cd2f7ec36d2c003ffafbed9fc741b0bfa4744b7c5863fc8ba3fd0b585d012c31",
    "test44.pcd": "3831ebf02693742f6443dfd14e57d33d32664e49d89879f85a1b45f800c610eb",
    "test45.pcd": "222dc1ea37f6996c4fa1d14fa3c7eab2868634ed455e261ba3af1e2fb4b81152",
    "test55.pcd": "88ebef27001b6cac6aaad2f960bc77fba7b651348672b274c8433d9579d48ecd",
    "test56.pcd": "7bdca31c53f1433a91c9c12b1af0f0f3f090d3cd44b1645ad262c616011b8e89",
}
