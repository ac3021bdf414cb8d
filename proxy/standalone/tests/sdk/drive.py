"""Starts everything, runs the tests of both languages against it, and last looks for what must
never have been written down anywhere."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from stack import HERE, Stack, key_id

# In every prompt of the tests; must be in no log, metric or ledger.
PROMPT_MARK = b"canaries"


def main(bin_folder):
    started = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="llm-gateway-sdk-"))
    results, passed = {}, False
    try:
        with Stack(bin_folder, work) as stack:
            test(stack, results)
        passed = all(results.values())
    finally:
        if passed:
            shutil.rmtree(work)
        else:
            print(f"logs: {work}")
    words = [f"{name} {'ok' if good else 'FAILED'}" for name, good in results.items()]
    print(f"SDK tests: {', '.join(words)}; {time.monotonic() - started:.0f} s")
    return 0 if passed else 1


def test(stack, results):
    """Notes in `results` what passed, one after the other."""
    facts = stack.start()
    env = {**os.environ, "SDK_STACK": str(facts), "NODE_EXTRA_CA_CERTS": stack.facts["ca"]}
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    results["python"] = run([*pytest, HERE / "python"], env)
    node = ["node", "--import", HERE / "node/resolve.mjs", "--test", "--test-concurrency=1"]
    results["node"] = run([*node, *sorted((HERE / "node").glob("*.test.mjs"))], env)
    places = seen_from_outside(stack)
    unwell = stack.stop()
    results["stop"] = not unwell
    found = [f"{name} did not end well" for name in unwell]
    places |= written_down(stack)
    leaks = canaries(stack, places)
    results["canary"] = not leaks
    for line in found + leaks:
        print(line)


def run(argv, env):
    return subprocess.run(argv, env=env, check=False).returncode == 0


def fetch(url):
    with urllib.request.urlopen(url, timeout=60) as reply:
        return reply.read()


def seen_from_outside(stack):
    """What metrics tell, and what upstreams were sent."""
    places = {}
    for name, gateway in stack.facts["gateways"].items():
        places[f"metrics of gateway {name}"] = fetch(f"{gateway['admin']}/metrics")
    for name, url in stack.facts["sims"].items():
        places[f"requests to {name}"] = fetch(f"{url}/sim/received")
    stack.secrets["tokens"] = json.loads(fetch(f"{stack.facts['idp']['issuer']}/test/issued"))
    return places


def written_down(stack):
    """Logs and data folders of the gateways."""
    files = list(stack.work.glob("gateway-*.log"))
    for gateway in stack.facts["gateways"].values():
        files += [path for path in Path(gateway["data"]).rglob("*") if path.is_file()]
    return {str(path.relative_to(stack.work)): path.read_bytes() for path in files}


def canaries(stack, places):
    """Where a secret or a prompt turned up; also says if it looked at nothing."""
    secrets = {f"key {name}": [key] for name, key in stack.facts["keys"].items()}
    # The secret half of a key alone must not turn up either.
    secrets = {name: [*keys, keys[0].split("-", 3)[3]] for name, keys in secrets.items()}
    secrets["a token"] = [part for it in stack.secrets["tokens"] for part in (it, it.split(".")[2])]
    for name in ("engine", "provider", "wrong"):
        secrets[f"credential {name}"] = [stack.secrets[name]]
    rightful = {
        ("requests to guarded", "credential engine"),
        ("requests to guarded", "credential wrong"),
        ("requests to provider", "credential provider"),
    }
    found = []
    for place, content in places.items():
        for name, texts in secrets.items():
            there = any(text.encode() in content for text in texts)
            if there != ((place, name) in rightful):
                found.append(f"{name} is {'in' if there else 'not in'} {place}")
        if not place.startswith("requests to") and PROMPT_MARK in content:
            found.append(f"a prompt is in {place}")
    usage = [content for place, content in places.items() if "usage-" in place]
    member = key_id(stack.facts["keys"]["main/member"]).encode()
    if not any(member in content for content in usage):
        found.append("the ledger does not name the key that was used: was anything looked at?")
    if PROMPT_MARK not in places["requests to steady"] or not stack.secrets["tokens"]:
        found.append("no prompt reached a server, or no token was issued")
    return found


def shield():
    """Nothing of the developer's own accounts or proxies takes part."""
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "ANTHROPIC_"))]:
        del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


if __name__ == "__main__":
    shield()
    # So that everything is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1]))
