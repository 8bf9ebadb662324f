"""Prints which Python packages this environment holds, with version and licence."""

from importlib.metadata import Distribution, distributions


def licence(package: Distribution) -> str:
    """What its metadata says: an SPDX expression, else a short text, else a classifier."""
    for name in ("License-Expression", "License"):
        for text in package.metadata.get_all(name) or []:
            if "\n" not in text:
                return str(text)
    classifiers = [line.split(" :: ") for line in package.metadata.get_all("Classifier") or []]
    return ", ".join(line[-1] for line in classifiers if line[0] == "License") or "see its files"


print("The Python packages in /usr/lib/hostagent/venv; each one's licence lies in its directory.\n")
for package in sorted(distributions(), key=lambda package: package.name.lower()):
    if package.name not in {"pip", "setuptools"}:
        print(f"{package.name} {package.version}: {licence(package)}")
