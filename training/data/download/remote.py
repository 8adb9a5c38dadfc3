"""Files of data sets on the web: a table of what is where, and how to tell that it came whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

COCO = "http://images.cocodataset.org"  # without TLS: its certificate names another host; hence the checksums


@dataclass(frozen=True)
class RemoteFile:
    """A zip file on the web, and what is unpacked of it.

    Attributes:
        url: Where it is.
        size: Its bytes; 0 if not known.
        md5: Its checksum; empty if not known, so that only the checksums inside of the zip file can tell.
        unpacked: About how many bytes are unpacked.
        select: Pattern of the members that are unpacked.
        folder: Where they go, by their names alone; empty keeps the folders of the zip file.
    """

    url: str
    size: int = 0
    md5: str = ""
    unpacked: int = 0
    select: str = "*"
    folder: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return urlsplit(self.url).path.rsplit("/", 1)[-1]


# Nobody publishes checksums of the last file; it has not changed since 2015.
KARPATHY = RemoteFile(
    "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",
    size=36_745_453,
    unpacked=191_540_365,
    select="*dataset_*.json",
    folder="annotations",
)
COCO_FILES: Mapping[int, Mapping[str, RemoteFile]] = {
    2014: {
        "annotations": RemoteFile(
            f"{COCO}/annotations/annotations_trainval2014.zip",
            size=252_872_794,
            md5="0a379cfc70b0e71301e0f377548639bd",
            unpacked=100_000_000,
            select="annotations/captions_*.json",
        ),
        "train": RemoteFile(
            f"{COCO}/zips/train2014.zip",
            size=13_510_573_713,
            md5="0da8c0bd3d6becc4dcb32757491aca88",
            unpacked=13_600_000_000,
            select="train2014/*.jpg",
        ),
        "val": RemoteFile(
            f"{COCO}/zips/val2014.zip",
            size=6_645_013_297,
            md5="a3d79f5ed8d289b7a7554ce06a5782b3",
            unpacked=6_700_000_000,
            select="val2014/*.jpg",
        ),
        "karpathy": KARPATHY,
    },
    2017: {
        "annotations": RemoteFile(
            f"{COCO}/annotations/annotations_trainval2017.zip",
            size=252_907_541,
            md5="f4bbac642086de4f52a3fdda2de5fa2c",
            unpacked=100_000_000,
            select="annotations/captions_*.json",
        ),
        "train": RemoteFile(
            f"{COCO}/zips/train2017.zip",
            size=19_336_861_798,
            md5="cced6f7f71b7629ddf16f17bbcfab6b2",
            unpacked=19_400_000_000,
            select="train2017/*.jpg",
        ),
        "val": RemoteFile(
            f"{COCO}/zips/val2017.zip",
            size=815_585_330,
            md5="442b8da7639aecaf257c1dceb8ba8c80",
            unpacked=820_000_000,
            select="val2017/*.jpg",
        ),
    },
}
