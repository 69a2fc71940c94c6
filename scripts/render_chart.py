#!/usr/bin/env python3
"""scripts/render_chart.py CHART: renders a chart with the values on standard input (JSON), by Helm's own library, and lints it.

Prints {"lint": [message…], "manifests": {path: text}} or {"refused": words}. No cluster is asked. scripts/tools.sh (need_helm) brings the library.
"""
import json
import sys

import helm_python


def main(path, values):
    try:
        # 3 is an error, 2 a warning, 1 a remark (a missing icon).
        report = helm_python.lint(path, values, strict=True)
        lint = [m["error"] for m in report["messages"] if m["severity"] >= 2] + report["errors"]
        with helm_python.Chart.load(path) as chart:
            chart.validate_schema(values)
            return {"lint": lint, "manifests": chart.render(values, name="test", namespace="links")}
    except helm_python.HelmError as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/render_chart.py CHART <values.json")
    json.dump(main(sys.argv[1], json.load(sys.stdin)), sys.stdout)
