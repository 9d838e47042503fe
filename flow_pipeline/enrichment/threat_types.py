"""The kinds of threats: the eleven names that Azure Traffic Analytics uses.

Belongs here: mapping the words of feeds to these names. A word that says nothing of the kind maps
to nothing: a kind is told where the feed tells it, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

THREAT_TYPES = (
    "Botnet",
    "C2",
    "CryptoMining",
    "DarkNet",
    "DDos",
    "MaliciousUrl",
    "Malware",
    "Phishing",
    "Proxy",
    "PUA",
    "WatchList",
)
# Words as feeds have them: STIX 2.1's vocabularies of indicators, malware and infrastructure,
# MISP's taxonomies and galaxies, and columns of lists. A space stands for what separates words.
_WORDS = {
    "Botnet": ("botnet", "bot", "bots"),
    "C2": (
        "c2", "c2s", "c2 server", "cnc", "c and c", "c c", "command and control",
        "command control", "botnet cc", "botnet c2",
    ),
    "CryptoMining": (
        "cryptomining", "crypto mining", "cryptojacking", "cryptominer", "coinminer",
        "coin miner", "resource exploitation",
    ),
    "DarkNet": ("darknet", "dark net", "tor", "tor node", "tor exit node", "tor exit"),
    "DDos": ("ddos", "dos", "denial of service", "distributed denial of service"),
    "MaliciousUrl": ("maliciousurl", "malicious url", "malware url"),
    "Malware": (
        "malware", "ransomware", "trojan", "worm", "virus", "rootkit", "backdoor", "spyware",
        "wiper", "dropper", "downloader", "keylogger", "remote access trojan", "rat",
        "malware distribution", "malware download", "hosting malware",
    ),
    "Phishing": ("phishing", "spear phishing", "spearphishing"),
    "Proxy": ("proxy", "open proxy", "vpn", "anonymization", "anonymizer", "anonymiser"),
    "PUA": ("pua", "pup", "adware", "potentially unwanted application", "riskware"),
    "WatchList": ("watchlist", "watch list"),
}  # fmt: skip
_TYPES = {word: threat_type for threat_type, words in _WORDS.items() for word in words}


def threat_type_of(told: Iterable[str]) -> str | None:
    """The kind of threat that a feed's words name; of several the first by name, else None.

    A word may be a MISP tag: `namespace:predicate="value"` is taken by its value, and by its
    predicate if that says nothing.
    """
    found = {kind for text in told if (kind := _kind(text)) is not None}
    return min(found, default=None)


def _kind(text: str) -> str | None:
    head, _, value = text.partition("=")
    # `misp-galaxy:botnet="Mirai"` is named after its kind, others tell it as their value.
    for part in (value, head.rpartition(":")[2]):
        words = " ".join(re.findall(r"[a-z0-9]+", part.lower()))
        if words in _TYPES:
            return _TYPES[words]
    return None
