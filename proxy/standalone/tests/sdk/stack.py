"""What the tests talk to: simulated model servers, an OIDC provider, two gateways, all on
free loopback ports. Everything is described in one JSON file, which the tests read."""

import contextlib
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

START_SECONDS = 90
STOP_SECONDS = 30
POLL_SECONDS = 0.02
HERE = Path(__file__).parent
# What the second gateway takes at most.
SMALL_BODY_BYTES = 64 * 1024

MODELS = ["demo/open", "team/chat", "other/chat", "slow/chat", "slow/single", "faulty/chat"]
MODELS += ["pair/chat", "guarded/chat", "misguarded/chat"]
KEYS = {
    "member": ["--groups", "ml-team"],
    "stranger": [],
    "demo_only": ["--models", "demo/*", "--groups", "ml-team"],
    "single": ["--concurrency", "1"],
    "revoked": [],
    "suspended": [],
    "expired": ["--expires", "1ms"],
}


def key_id(key):
    """The public part of a key, which is `sk-`, a prefix, its id and its secret."""
    return key.split("-", 3)[2]


class Program:
    """A child process, its output in files; ended by its process id."""

    def __init__(self, work, name, argv, env=None):
        self.name = name
        self.out, self.err = work / f"{name}.out.log", work / f"{name}.err.log"
        env = {**os.environ, **(env or {})}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.child = subprocess.Popen(argv, stdout=out, stderr=err, env=env)

    def says(self, pattern):
        """Awaits a line of output and returns what the pattern's group found in it."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            ended = self.child.poll() is not None
            if found := re.search(pattern, self.out.read_text(), re.MULTILINE):
                return found[1]
            if ended:
                break
            time.sleep(POLL_SECONDS)
        raise RuntimeError(f"{self.name} did not start: {self.err.read_text()[-2000:]}")

    def stop(self):
        """Ends it, and says whether it went in time and by itself."""
        self.child.terminate()
        try:
            return self.child.wait(STOP_SECONDS) == 0
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return False


class Stack:
    """Starts and stops everything; `facts` is what the tests are told."""

    def __init__(self, bin_folder, work):
        self.bin, self.work = Path(bin_folder), Path(work)
        self.programs, self.facts, self.held = [], {"sims": {}, "gateways": {}, "keys": {}}, []
        self.secrets = {"engine": f"engine-{os.urandom(8).hex()}"}
        self.secrets["provider"] = f"provider-{os.urandom(8).hex()}"
        self.secrets["wrong"] = f"wrong-{os.urandom(8).hex()}"

    def start(self):
        sims = {
            "steady": [],
            "slow": ["--itl-ms", "20"],
            "faulty": [],
            "guarded": [],
            "provider": ["--provider", "--model", "cloud"],
        }
        for name, arguments in sims.items():
            self.start_sim(name, arguments)
        self.start_idp()
        for name, secret in self.secrets.items():
            (self.work / f"{name}.key").write_text(secret)
        self.make_certificates()
        self.start_gateway("main", self.main_config())
        self.start_gateway("tls", self.tls_config())
        keys = self.facts["keys"]
        for gateway, other in [("main", "tls"), ("tls", "main")]:
            keys[f"{gateway}/unknown"] = keys[f"{other}/member"]
            keys[f"{gateway}/malformed"] = "sk-nb-somebody-madethisup"
        path = self.work / "stack.json"
        path.write_text(json.dumps(self.facts))
        return path

    def start_sim(self, name, arguments):
        models = [word for model in MODELS for word in ("--model", model)]
        key = self.secrets["provider" if name == "provider" else "engine"]
        env = {"LLM_SIM_API_KEY": key} if name in ("guarded", "provider") else None
        argv = [self.bin / "llm-sim", "--port", "0", "--allow-faults", "--received-max", "100000"]
        argv += arguments if name == "provider" else arguments + models
        sim = self.run(f"sim-{name}", argv, env)
        self.facts["sims"][name] = sim.says(r"^(http://\S+)$")

    def start_idp(self):
        node = HERE / "node"
        argv = ["node", "--import", node / "resolve.mjs", node / "idp.mjs"]
        self.facts["idp"] = json.loads(self.run("idp", argv).says(r"^({.*})$"))

    def start_gateway(self, name, config):
        folder = self.work / name
        folder.mkdir()
        (folder / "gateway.yaml").write_text(json.dumps(config, indent=2))
        config = ["--config", folder / "gateway.yaml"]
        for key, arguments in KEYS.items():
            made = self.keys("create", "--name", key, *arguments, *config)
            self.facts["keys"][f"{name}/{key}"] = made
        for action, key in [("revoke", "revoked"), ("suspend", "suspended")]:
            self.keys(action, key_id(self.facts["keys"][f"{name}/{key}"]), *config)
        gateway = self.run(f"gateway-{name}", [self.bin / "llm-gateway", "serve", *config])
        gateway.says(r"(is ready)")
        scheme = "https" if name == "tls" else "http"
        external = gateway.says(r"base URL\s+\w+://(\S+?)/v1")
        facts = {
            "url": f"{scheme}://{external}",
            "admin": gateway.says(r"admin\s+(http://\S+)"),
            "data": str(folder / "data"),
        }
        if name == "main":
            facts["internal"] = gateway.says(r"internal\s+(http://\S+?)/v1")
        self.facts["gateways"][name] = facts

    def main_config(self):
        sims, public = self.facts["sims"], {"public": True}
        # Longer than a busy machine stalls, for a server that is silent for good.
        short = {"idle": "5s", "request": "30s"}

        def model(id, *endpoints, access=public, **more):
            return {"id": id, "endpoints": list(endpoints), "access": access, **more}

        steady, faulty, guarded = sims["steady"], sims["faulty"], sims["guarded"]
        return {
            "listen": self.listen() | {"internal": "127.0.0.1:0"},
            "dataDir": "data",
            "models": [
                model("demo/open", steady, aliases=["open"]),
                model("team/chat", steady, access={"groups": ["ml-team"]}),
                model("other/chat", steady, access={"groups": ["sales"]}),
                model("slow/chat", sims["slow"]),
                model("slow/single", sims["slow"], limits={"concurrency": 1}),
                model("faulty/chat", faulty, timeouts=short),
                model("pair/chat", faulty, steady),
                model("down/chat", self.closed_port()),
                model("guarded/chat", guarded, apiKey={"file": "../engine.key"}),
                model("misguarded/chat", guarded, apiKey={"file": "../wrong.key"}),
            ],
            "providers": [
                {
                    "name": "cloud",
                    "url": f"{sims['provider']}/v1",
                    "credential": {"file": "../provider.key"},
                    "models": [{"id": "cloud/chat", "upstream": "cloud"}],
                    "access": public,
                }
            ],
            "issuers": [{"issuer": self.facts["idp"]["issuer"], "audiences": ["llm"]}],
            "shutdown": {"drain": "2s"},
        }

    def tls_config(self):
        steady = self.facts["sims"]["steady"]
        return {
            "listen": self.listen(),
            "tls": {"certificate": "../server.crt", "key": "../server.key"},
            "dataDir": "data",
            "models": [
                {"id": "demo/open", "endpoints": [steady], "access": {"public": True}},
            ],
            "cors": {"origins": ["https://chat.example"]},
            "limits": {"bodyBytes": SMALL_BODY_BYTES},
            "shutdown": {"drain": "2s"},
        }

    @staticmethod
    def listen():
        return {"external": "127.0.0.1:0", "admin": "127.0.0.1:0"}

    def make_certificates(self):
        """An authority of our own, and a certificate by it for this machine."""
        ca, server = self.work / "ca", self.work / "server"
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        new += ["-nodes", "-days", "1"]
        for name, more in [
            (ca, ["-subj", "/CN=SDK tests", "-addext", "keyUsage=critical,keyCertSign"]),
            (
                server,
                ["-subj", "/CN=localhost", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key"]
                + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
                + ["-addext", "basicConstraints=critical,CA:FALSE"],
            ),
        ]:
            command = [*new, *more, "-keyout", f"{name}.key", "-out", f"{name}.crt"]
            subprocess.run(command, check=True, capture_output=True)
        self.facts["ca"] = f"{ca}.crt"

    def closed_port(self):
        """A port that refuses connections, and that nobody else can take meanwhile."""
        held = socket.socket()
        held.bind(("127.0.0.1", 0))
        self.held.append(held)
        return f"http://127.0.0.1:{held.getsockname()[1]}"

    def keys(self, *arguments):
        """What `llm-gateway keys` prints."""
        command = [self.bin / "llm-gateway", "keys", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def run(self, name, argv, env=None):
        program = Program(self.work, name, argv, env)
        self.programs.append(program)
        return program

    def stop(self):
        """Ends everything, the last first; names what did not end well."""
        unwell = [program.name for program in reversed(self.programs) if not program.stop()]
        self.programs = []
        for held in self.held:
            held.close()
        # Node.js dies of the signal; the others end by themselves.
        return [name for name in unwell if name != "idp"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.stop()
