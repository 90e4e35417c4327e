"""The WSGI application: whose call it is, what goes wrong with it, and who answers."""

from __future__ import annotations

import functools
import json
import os
import re
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

from moto.moto_api._internal.models import moto_api_backend
from moto.server import DomainDispatcherApplication, create_backend_app

from fake_aws import faults, iam_needs, iam_policy, patches
from fake_aws.eks import Eks
from fake_aws.timeline import Timeline, plain
from fake_aws.visibility import Visibility
from fake_aws.wire import Answer, Call, Refusal, answer, read, refuse

UNCHECKED = "AKIATEST"  # keys of tests, not of what they test: all is allowed to them, and no fault strikes
# Regions that an account has only when somebody has enabled them
OPT_IN = ("af-south-1", "ap-east-1", "ca-west-1", "eu-central-2", "eu-south-1", "il-central-1", "me-south-1")
_SECRET = ("password", "secret", "token", "userdata")


@dataclass(frozen=True)
class Record:
    """A call that was made."""

    service: str
    operation: str  # as boto3 calls it
    action: str  # as IAM calls it
    needs: list[str]  # all IAM actions that it takes
    region: str
    params: dict[str, Any]  # without secrets
    status: int  # of HTTP; 0 when the answer was dropped
    error: str
    access_key: str
    user_agent: str


class Application:
    """An AWS account. All state is in this process; calls are answered one after the other."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.eks = Eks(self.timeline)
        self.records: list[Record] = []
        self.rules: list[faults.Rule] = []
        self.visibility = Visibility(self.timeline)
        self.policy: iam_policy.Policy | None = None
        self.gate: Callable[[Call], None] | None = None
        self.lock = threading.RLock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        # It lists moto's directory at each request. Mypy lets no method be assigned to, though it is meant here.
        self._moto.get_backend_for_host = functools.cache(self._moto.get_backend_for_host)  # type: ignore[method-assign]
        self.patches = patches.install(self)

    def reset(self) -> None:
        """An empty account, no faults, nothing recorded."""
        with self.lock:
            moto_api_backend.reset()
            self.timeline.reset()
            self.eks.reset()
            self.patches.reset()
            self.visibility.reset()
            self.records.clear()
            self.rules.clear()
            self.policy = None
            self.gate = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith("/control/"):
            return self._control(environ, start_response)
        call = read(environ)
        if call is None:
            return self._moto(environ, start_response)  # type: ignore[no-any-return] # moto's answer has no type
        status, error = 0, ""
        with self.lock:
            needed = sorted({need.action for need in iam_needs.needs(call, self)})
        try:
            done = self._answered(call, environ)
            status = done.status
            if status >= 400:
                error = done.headers.get("X-Amzn-Errortype", "") or _code(done.body)
        finally:
            self.records.append(
                Record(
                    call.service,
                    call.name,
                    iam_needs.action(call),
                    needed,
                    call.region,
                    _without_secrets(plain(call.params)),
                    status,
                    error,
                    call.access_key,
                    call.user_agent,
                )
            )
        start_response(f"{done.status} status", [*done.headers.items(), ("Content-Length", str(len(done.body)))])
        return [done.body]

    def _answered(self, call: Call, environ: dict[str, Any]) -> Answer:
        """The answer, or Dropped."""
        with self.lock:
            exempt = call.access_key.startswith(UNCHECKED)
            struck = [] if exempt else [rule for rule in self.rules if rule.meets(call)]
        try:
            for rule in struck:
                faults.before(rule, call)
            with self.lock:
                if self.gate:
                    self.gate(call)
                self.timeline.play()
                done = self._served(call, environ)
                for rule in struck:
                    if rule.kind == "not-yet":
                        self.visibility.hide(call, done, rule.seconds)
        except Refusal as refusal:
            return refuse(call, refusal)
        except ConnectionError:
            raise
        except Exception as error:  # a defect of this server, which no client should try again
            traceback.print_exc()
            return refuse(call, Refusal("TestServerDefect", f"{type(error).__name__}: {error}"))
        for rule in struck:
            faults.after(rule)
        return done

    def _served(self, call: Call, environ: dict[str, Any]) -> Answer:
        """The answer of the service."""
        if call.region in OPT_IN:
            raise _unknown_here(call)
        if self.policy and not call.access_key.startswith(UNCHECKED):
            self.policy.check(call)
        self.visibility.before(call)
        self.patches.watch(call)
        if call.service == "eks":
            return answer(call, self.eks.handle(call))
        done = self.patches.own(call) or self.patches.after(call, self._by_moto(environ))
        return self.visibility.after(call, done)

    def _by_moto(self, environ: dict[str, Any]) -> Answer:
        """moto's answer."""
        seen: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _info: Any = None) -> None:
            seen.extend((int(status.split(maxsplit=1)[0]), headers))

        body = b"".join(self._moto(environ, start))
        status, headers = seen[:2]
        kept = {name: value for name, value in headers if name.lower() != "content-length"}
        return Answer(status, kept, body)

    # Control: in process, or over HTTP as POST /control/<method> with the arguments as JSON

    def calls(self) -> list[dict[str, Any]]:
        """All calls since the start, or since they were cleared."""
        return [asdict(record) for record in list(self.records)]

    def clear_calls(self) -> None:
        self.records.clear()

    def faults(self, rules: list[dict[str, Any]]) -> None:
        """Replace the faults; without any, all that was made is seen as well."""
        with self.lock:
            self.rules = faults.parse(rules)
            if not rules:
                self.visibility.reset()

    def enforce(self, policy: dict[str, Any] | None) -> None:
        """Refuse from now on what an IAM policy document does not allow; nothing more with None."""
        with self.lock:
            self.policy = iam_policy.Policy(policy, self) if policy else None

    def before_calls(self, gate: Callable[[Call], None] | None) -> None:
        """Do this before each call is done, and while no other is; it may raise faults.Dropped. Nothing with None."""
        with self.lock:
            self.gate = gate

    def later(self, seconds: float) -> None:
        """Have so many seconds pass at once."""
        with self.lock:
            self.timeline.later(seconds)

    def delays(self, **seconds: float) -> None:
        """How long states last, by kind: default, cluster, cluster.create, nodegroup, addon, db_instance …"""
        self.timeline.delays.update({name.replace("__", "."): value for name, value in seconds.items()})

    def fail_next(self, kind: str, message: str, code: str = "", status: str = "") -> None:
        """Have the next thing of a kind (cluster.create, nodegroup.create, addon.create, db_instance.create …) fail."""
        self.timeline.fail_next(kind, message, code, status)

    def set(self, **options: Any) -> None:
        """Options of the services."""
        for name, value in options.items():
            target = self.eks if hasattr(self.eks, name) else self.patches
            if not hasattr(target, name):
                raise ValueError(f"unknown option {name}")
            setattr(target, name, value)

    def _control(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"].removeprefix("/control/")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        given = json.loads(environ["wsgi.input"].read(length) or b"{}") if length else {}
        methods = {
            "reset": self.reset,
            "calls": self.calls,
            "clear_calls": self.clear_calls,
            "faults": self.faults,
            "delays": self.delays,
            "fail_next": self.fail_next,
            "set": self.set,
            "enforce": self.enforce,
            "later": self.later,
        }
        try:
            if name not in methods:
                raise ValueError(f"{name} is none of {', '.join(methods)}")
            status, result = "200 OK", methods[name](**given)
        except (TypeError, ValueError) as error:
            status, result = "400 Bad Request", {"error": str(error)}
        body = json.dumps(result).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def _unknown_here(call: Call) -> Refusal:
    """What a region says that the account has not enabled."""
    if call.service == "ec2":
        return Refusal("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    message = "The security token included in the request is invalid."
    if call.protocol in ("json", "rest-json"):
        return Refusal("UnrecognizedClientException", message)
    return Refusal("InvalidClientTokenId", message, 403)


def _code(body: bytes) -> str:
    """The error code in an answer of any protocol."""
    found = re.search(rb"<Code>([^<]+)</Code>|\"__type\": ?\"(?:[^\"]*#)?([^\"]+)\"", body)
    return (found[1] or found[2]).decode() if found else ""


def _without_secrets(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, name) for item in value]
    secret = isinstance(value, str) and any(word in name.lower() for word in _SECRET) and "arn" not in name.lower()
    return "***" if secret and "clientrequesttoken" not in name.lower() else value
