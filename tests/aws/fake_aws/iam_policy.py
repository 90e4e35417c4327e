"""IAM: whether a policy document gives what a call needs permission for."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fake_aws.iam_needs import Context, Need, needs
from fake_aws.wire import CALLER, Call, Refusal

if TYPE_CHECKING:
    from fake_aws.application import Application


class Policy:
    """A policy document that is enforced."""

    def __init__(self, document: dict[str, Any], application: Application) -> None:
        self.statements: list[dict[str, Any]] = _list(document["Statement"])
        self.application = application

    def check(self, call: Call) -> None:
        """Refuse a call that is not allowed."""
        for need in needs(call, self.application):
            if not self.allows(need):
                reason = (
                    f"User: {CALLER} is not authorized to perform: {need.action} on resource: {need.resource} "
                    f"because no identity-based policy allows the {need.action} action"
                )
                if call.service == "ec2":
                    message = f"You are not authorized to perform this operation. {reason}"
                    raise Refusal("UnauthorizedOperation", message, 403)
                json = call.protocol in ("json", "rest-json")
                raise Refusal("AccessDeniedException" if json else "AccessDenied", reason, 400 if json else 403)

    def allows(self, need: Need) -> bool:
        """Whether some statement allows it, and none denies it."""
        effects = {item["Effect"] for item in self.statements if _applies(item, need)}
        return "Allow" in effects and "Deny" not in effects


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _like(value: str, pattern: str) -> bool:
    return fnmatchcase(value, pattern.replace("[", "[[]"))


def _applies(statement: dict[str, Any], need: Need) -> bool:
    if not any(_like(need.action.lower(), item.lower()) for item in _list(statement["Action"])):
        return False
    if not any(item == "*" or _like(need.resource, item) for item in _list(statement["Resource"])):
        return False
    return all(
        _condition(operator, key, _list(wanted), need.context)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _condition(operator: str, key: str, wanted: list[Any], context: Context) -> bool:
    key = re.sub(r"^\w+:ResourceTag/", "aws:ResourceTag/", key)
    quantifier, _colon, operator = operator.rpartition(":")
    have = context.get(key)
    if operator == "Null":
        return (have is None) == (str(wanted[0]).lower() == "true")
    if operator.endswith("IfExists"):
        operator = operator.removesuffix("IfExists")
        if have is None:
            return True
    if have is None:
        return quantifier == "ForAllValues" or operator.startswith("StringNot")
    texts = [str(item) for item in wanted]
    matches = {
        "StringEquals": lambda value: value in texts,
        "StringNotEquals": lambda value: value not in texts,
        "StringLike": lambda value: any(_like(value, item) for item in texts),
        "ArnLike": lambda value: any(_like(value, item) for item in texts),
        "Bool": lambda value: value.lower() in [item.lower() for item in texts],
    }[operator]
    values = have if isinstance(have, list) else [have]
    return any(map(matches, values)) if quantifier == "ForAnyValue" else all(map(matches, values))
