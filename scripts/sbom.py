#!/usr/bin/env python3
"""scripts/sbom.py BINARY: what a binary built by cargo-auditable is made of, as CycloneDX 1.5 on standard output.

Read from the binary itself (its section .dep-v0), so that it cannot speak of another one. Only the standard library; objcopy finds the section.
"""
import json
import subprocess
import sys
import tempfile
import zlib


def packages(binary):
    with tempfile.NamedTemporaryFile() as section:
        subprocess.run(["objcopy", "-O", "binary", "--only-section=.dep-v0", "--set-section-flags", ".dep-v0=alloc", binary, section.name], check=True)
        packed = section.read()
    if not packed:
        sys.exit(f"{binary} does not say what it is made of: was it built by `cargo auditable build`?")
    return json.loads(zlib.decompress(packed))["packages"]


def component(package, kind):
    reference = f"pkg:cargo/{package['name']}@{package['version']}"
    return {"type": kind, "bom-ref": reference, "name": package["name"], "version": package["version"], "purl": reference}


def bom(listed):
    # Tools that only helped to build it are not in it.
    shipped = [p for p in listed if p.get("kind", "runtime") == "runtime"]
    root = next(p for p in shipped if p.get("root"))
    reference = lambda at: component(listed[at], "library")["bom-ref"]
    runtime = {component(p, "library")["bom-ref"] for p in shipped}
    dependencies = [
        {"ref": component(p, "library")["bom-ref"], "dependsOn": sorted(r for r in map(reference, p.get("dependencies", [])) if r in runtime)}
        for p in shipped
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root, "application")},
        "components": [component(p, "library") for p in shipped if not p.get("root")],
        "dependencies": dependencies,
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/sbom.py BINARY")
    json.dump(bom(packages(sys.argv[1])), sys.stdout, indent=1)
    print()
