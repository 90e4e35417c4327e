# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to PostgreSQL, direct or through the relay; TLS is verified end to end on both roads."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec as kubernetes_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.relay import (
    Bridge,
    NamespaceAbsent,
    Relay,
    Spec,
)

if TYPE_CHECKING:
    import psycopg2.extensions
    from ansible.module_utils.basic import AnsibleModule

CONNECT_TIMEOUT = 10
RELAY_TIMEOUT = 20.0  # seconds that a relay may take to listen, and a kubelet to come back
MASKABLE = 4  # a shorter secret cannot be masked without garbling everything

Row = tuple[Any, ...]


class DatabaseError(DbosError):
    """PostgreSQL cannot be reached, or refused; C(code) is the SQLSTATE where there is one."""

    def __init__(self, msg: str, code: str = "", **result: Any) -> None:
        super().__init__(msg, **result)
        self.code = code
        self.not_yet = code in ("3D000", "28P01")  # no such database, or no such login


class DatabaseAbsent(DatabaseError):
    """The server is there, the database is not."""


class Unreadable(DbosError):
    """In check mode there is no way to the database yet, so its state is unknown."""

    not_yet = True


def argument_spec(*, writes: bool = False) -> dict[str, dict[str, Any]]:
    """Options of every module that talks to the database, documented in the fragment dbos.kubernetes.connection.

    Its part C(writes) documents what those have that write to DBOS' tables.
    """
    return {
        **kubernetes_spec(),
        "database_url": {"type": "str", "required": True, "no_log": True},
        "ca": {"type": "str"},
        "relay": {"type": "dict", "options": relay_spec()},
        **({"allow_newer_schema": {"type": "bool", "default": False}} if writes else {}),
    }


def relay_spec() -> dict[str, dict[str, Any]]:
    """The option C(relay)."""
    return {
        "namespace": {"type": "str", "required": True},
        "image": {"type": "str", "required": True},
        "application": {"type": "str", "required": True},
        "deadline": {"type": "int", "default": 1800},
    }


def derived_forms(password: str | None) -> set[str]:
    """Other spellings of a password, for AnsibleModule.no_log_values; none of a very short one: it would mask all."""
    if not password or len(password) < MASKABLE:
        return set()
    return {password, quote(password, safe=""), quote_plus(password), password.replace("'", "''")}


def parse_url(url: str) -> dict[str, str]:
    """libpq's own reading of a URL (or of keyword=value pairs). Never echoes any of it: it holds the password."""
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        settings: dict[str, str] = parse_dsn(url)
    except psycopg2.ProgrammingError as error:
        raise DbosError(
            "database_url cannot be read as a PostgreSQL URL. Percent-encode the special characters of user and "
            "password, for example with the filter dbos.kubernetes.database_url."
        ) from error
    for key, name in (("host", "a host"), ("user", "a user")):
        if not settings.get(key):
            raise DbosError(f"database_url names no {name.split()[-1]}.")
    if "," in settings["host"]:
        raise DbosError("database_url names several hosts; give the primary only.")
    settings.setdefault("port", "5432")
    settings.setdefault("dbname", settings["user"])
    settings.setdefault("sslmode", "verify-full")
    return settings


class Database:
    """One session. Reads reconnect once when the stream breaks; writes never do."""

    def __init__(self, server: Server, settings: Mapping[str, str]) -> None:
        self._server = server
        self._settings = settings
        self._session = server.session(settings)

    @property
    def name(self) -> str:
        """The database's name."""
        return self._settings["dbname"]

    @property
    def user(self) -> str:
        """Who is logged in."""
        return self._settings["user"]

    @property
    def version(self) -> int:
        """The server's major version."""
        return int(self._session.server_version) // 10000

    @property
    def session(self) -> psycopg2.extensions.connection:
        """The psycopg2 connection, where the library needs one (to quote, or to make a SCRAM verifier)."""
        return self._session

    def read(self, sql: Any, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Rows of a statement that changes nothing."""
        try:
            return self.write(sql, parameters)
        except DatabaseError:
            if not self._session.closed:
                raise
        self._server.renew()
        self._session = self._server.session(self._settings)
        return self.write(sql, parameters)

    def write(self, sql: Any, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Execute; rows if the statement returns any."""
        import psycopg2

        try:
            with self._session.cursor() as cursor:
                # Without parameters psycopg2 leaves percent signs alone.
                cursor.execute(sql, parameters or None)
                return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.Error as error:
            raise DatabaseError(
                f"PostgreSQL at {self._server.address} refused to work as {self.user} on database {self.name}: "
                f"{sentence(error)}",
                error.pgcode or "",
            ) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.write("BEGIN")
        try:
            yield
        except BaseException:
            with contextlib.suppress(DatabaseError):
                self.write("ROLLBACK")
            raise
        self.write("COMMIT")

    def close(self) -> None:
        """End the session."""
        self._session.close()


class Server:
    """The PostgreSQL server that a database_url names."""

    def __init__(self, settings: dict[str, str], bridge: Bridge | None, certificates: str | None) -> None:
        self.settings = settings
        self._bridge = bridge
        self._certificates = certificates

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"{self.settings['host']}:{self.settings['port']}"

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where the TCP connection goes: the server itself, or the relay's port here."""
        if self._bridge:
            return "127.0.0.1", self._bridge.port
        return self.settings.get("hostaddr") or self.settings["host"], int(self.settings["port"])

    @contextlib.contextmanager
    def connect(
        self, *, database: str | None = None, user: str | None = None, password: str | None = None
    ) -> Iterator[Database]:
        """A session; as the URL's user on the URL's database unless told otherwise."""
        given = {"dbname": database, "user": user, "password": password}
        session = Database(self, {**self.settings, **{key: value for key, value in given.items() if value is not None}})
        try:
            yield session
        finally:
            session.close()

    def renew(self) -> None:
        """Find the way again after a stream broke."""
        if self._bridge:
            self._bridge.renew()

    def session(self, settings: Mapping[str, str]) -> psycopg2.extensions.connection:
        """A new psycopg2 connection in autocommit mode: nothing of ours stays open in a transaction."""
        import psycopg2

        options: dict[str, Any] = {
            "connect_timeout": str(CONNECT_TIMEOUT),
            "application_name": "dbos.kubernetes",
            "keepalives_idle": "30",
            "gssencmode": "disable",
            **settings,
        }
        if self._certificates:
            options["sslrootcert"] = self._certificates
        if self._bridge:
            # libpq goes to hostaddr but checks the certificate against host.
            options.update(hostaddr="127.0.0.1", port=str(self._bridge.port))
        give_up = time.monotonic() + RELAY_TIMEOUT
        while True:
            try:
                session: psycopg2.extensions.connection = psycopg2.connect(**options)
                break
            except psycopg2.Error as error:
                if self._bridge and self._bridge.may_recover and time.monotonic() < give_up:
                    time.sleep(0.1)
                    self._bridge.renew()
                    continue
                raise self._explain(sentence(error), settings) from error
        session.autocommit = True
        return session

    def _explain(self, text: str, settings: Mapping[str, str]) -> DatabaseError:
        where = f"PostgreSQL at {self.address}"
        user, database = settings["user"], settings["dbname"]
        if "password authentication failed" in text or "no password supplied" in text:
            return DatabaseError(f"{where} refuses user {user}: wrong password.", "28P01")
        if f'database "{database}" does not exist' in text:
            return DatabaseAbsent(f"{where} has no database {database}: run role database first.", "3D000")
        if "certificate verify failed" in text:
            return DatabaseError(
                f"The certificate of {where} is not signed by the given CA: check option ca (platform_database.ca)."
            )
        if "does not match host name" in text:
            return DatabaseError(f"The certificate of {where} is for another host: {text}")
        if "root certificate file" in text:
            return DatabaseError(
                f"{where} is to be verified (sslmode={settings['sslmode']}), but there is no CA: give option ca."
            )
        if "could not translate host name" in text:
            return DatabaseError(f"Host {self.settings['host']} of the database does not resolve here: {text}")
        if self._bridge and ("closed the connection" in text or "timeout expired" in text or "reset by peer" in text):
            # What the relay says of the database; the API server only tells that the relay hung up.
            cause = self._bridge.last_words() or self._bridge.error or text
            return DatabaseError(f"{where} cannot be reached from the cluster: {cause}")
        return DatabaseError(f"{where} cannot be used as {user} on database {database}: {text}")


def sentence(error: BaseException) -> str:
    """libpq's message in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"^connection to server at .*? failed: (FATAL: )?", "", text).removeprefix("FATAL: ")


@contextlib.contextmanager
def open_server(params: Mapping[str, Any], *, check: bool = False) -> Iterator[Server]:
    """The server of C(database_url), reached as the module's options say.

    In check mode Unreadable is raised when there is no namespace to run a relay in.
    """
    settings = parse_url(params["database_url"])
    with contextlib.ExitStack() as stack:
        certificates = stack.enter_context(certificate_file(params.get("ca")))
        bridge = None
        if params.get("relay"):
            client = Client.from_params(params)
            relay = Relay(client, relay_of(params["relay"], settings))
            try:
                bridge = stack.enter_context(relay.open(keep=not check))
            except (NamespaceAbsent, KubeError) as error:
                absent = isinstance(error, NamespaceAbsent) or getattr(error, "status", 0) == 403
                if check and absent:
                    raise Unreadable(f"The database could not be read: {error.msg}") from error
                raise
        yield Server(settings, bridge, certificates)


@contextlib.contextmanager
def module_server(module: AnsibleModule) -> Iterator[Server]:
    """The server that the module's options name; its password is masked in all that the module says from now on."""
    with open_server(module.params, check=module.check_mode) as server:
        module.no_log_values.update(derived_forms(server.settings.get("password")))
        yield server


@contextlib.contextmanager
def module_database(module: AnsibleModule) -> Iterator[Database]:
    """A session on the database that the module's options name."""
    with module_server(module) as server, server.connect() as database:
        yield database


@contextlib.contextmanager
def module_database_if_any(module: AnsibleModule, tell: Callable[[str], Any]) -> Iterator[Database | None]:
    """The same; None in check mode when there is none or no way to it yet, which C(tell) is told."""
    with contextlib.ExitStack() as stack:
        found = None
        try:
            found = stack.enter_context(module_database(module))
        except (DatabaseAbsent, Unreadable) as error:
            if not module.check_mode:
                raise
            tell(error.msg)
        yield found


def relay_of(option: Mapping[str, Any], settings: Mapping[str, str]) -> Spec:
    """The relay of option C(relay) to the server in C(settings)."""
    return Spec(
        namespace=option["namespace"],
        image=option["image"],
        application=option["application"],
        host=settings.get("hostaddr") or settings["host"],
        port=int(settings["port"]),
        deadline=option["deadline"],
    )


@contextlib.contextmanager
def certificate_file(certificates: str | None) -> Iterator[str | None]:
    """libpq reads CA certificates from files only; they are no secret."""
    if not certificates or not certificates.strip():
        yield None
        return
    if "-----BEGIN CERTIFICATE-----" not in certificates:
        raise DbosError("Option ca is no PEM certificate: it needs the text of the CA, not a file's name.")
    handle, path = tempfile.mkstemp(prefix="dbos-ca-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(certificates)
        yield path
    finally:
        os.unlink(path)
