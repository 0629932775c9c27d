"""TLS towards a hub: its context, made anew from the files at each connection, and its failures in words."""

from __future__ import annotations

import contextlib
import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from cancorderd.hidden_folders import remedy_if_hidden
from cancorderd.hub.failures import AccessMistake, NoTls, NotPermitted, TlsFailed
from cancorderd.printable import error_text

if TYPE_CHECKING:
    from cancorderd.hub.access import HubAccess, ServerAddress

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_IN_A_BOX = " (hub in a box: contrib/hub/set-up --renew)"
_TOLD_S = 30 * 86_400
"""An end of validity is told this long before."""


def tls_context(access: HubAccess) -> ssl.SSLContext:
    """Return a context that verifies the server's certificate and name. Raises AccessMistake."""
    try:
        context = ssl.create_default_context(cafile=access.ca)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(access.ca, error, "certificate of an authority (PEM)") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if access.certificate is not None:
        try:
            # Without a password callback, OpenSSL would ask for the password of an encrypted key on the terminal.
            context.load_cert_chain(access.certificate, access.key, password=_no_password)
        except _EncryptedKey:
            raise AccessMistake(
                f"{access.key}: is encrypted, and nobody can type its password here. Store it unencrypted, mode 0640."
            ) from None
        except (OSError, ssl.SSLError) as error:
            reason = f"{access.certificate} with {access.key}"
            raise _unusable(reason, error, "certificate and key that belong together (PEM)") from error
    return context


class _EncryptedKey(Exception):
    pass


def _no_password() -> str:
    raise _EncryptedKey


def _unusable(path: str | None, error: OSError, wanted: str) -> AccessMistake:
    if isinstance(error, ssl.SSLError):
        return AccessMistake(
            f"{path}: cannot be used ({error.reason or error_text(error)}). Name a {wanted}."
        )
    remedy = remedy_if_hidden(path or "") or "Check path and permission."
    kind = NotPermitted if isinstance(error, PermissionError) else AccessMistake
    return kind(f"{path}: cannot be read ({error.strerror or error_text(error)}). {remedy}")


def tls_failure(server: ServerAddress, error: BaseException, access: HubAccess) -> TlsFailed:
    """Return the failure that an exception of the ssl module during or after a handshake means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailed(f"{server}: {_verification(server, error, access)}")
    reason = str(getattr(error, "reason", "") or "")
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return no_certificate(server)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return TlsFailed(
            f"{server}: refuses our certificate ({reason}). Name one that the hub's authority has signed and is valid."
        )
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason:
        return TlsFailed(f"{server}: answers something that is no TLS. Correct host and port.")
    if "VERSION" in reason:
        return TlsFailed(
            f"{server}: has no TLS 1.2 or later in common with us ({reason}). Update the server."
        )
    return TlsFailed(f"{server}: TLS failed ({reason or error_text(error)}). Check the server's log.")


def _verification(server: ServerAddress, error: ssl.SSLCertVerificationError, access: HubAccess) -> str:
    fact = error_text(Exception(error.verify_message))
    match error.verify_code:
        case 62 | 64:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            return f"its certificate is for another name. Use a name in it, or issue one for {server.host}."
        case 10:  # X509_V_ERR_CERT_HAS_EXPIRED
            which = f"its certificate, or {access.ca}," if access.ca else "its certificate"
            return f"{which} has expired. Renew it at the hub{_IN_A_BOX}, or correct this machine's clock."
        case 9:  # X509_V_ERR_CERT_NOT_YET_VALID
            return "its certificate is not valid yet. Correct this machine's clock."
        case 18 | 19 | 20 | 21:  # self-signed, or the issuer is unknown here
            authority = f"{access.ca} did not issue" if access.ca else "no authority of this system issued"
            return f"{authority} its certificate ({fact}). Set ca to the certificate of the hub's authority."
    return f"its certificate is refused ({fact}). Check it with openssl s_client."


def no_certificate(server: ServerAddress) -> TlsFailed:
    return TlsFailed(f"{server}: asks for a certificate of ours. Set certificate and key.")


def no_tls(server: ServerAddress) -> NoTls:
    return NoTls(
        f"{server}: the server offers no TLS, so nothing was sent to it. Set up TLS there (contrib/hub)."
    )


class Validity(NamedTuple):
    """End of validity of a certificate, or of credentials."""

    whose: str
    """Place and name, as "FILE: this certificate"."""
    end_s: float
    """Seconds since the epoch."""
    remedy: str

    def notice(self, now_s: float) -> str | None:
        """Return a sentence if the end is within 30 days."""
        left_s = self.end_s - now_s
        if left_s > _TOLD_S:
            return None
        if left_s <= 0:
            return f"{self.whose} has expired. {self.remedy}"
        days = int(left_s // 86_400)
        when = f"in {days} day{'' if days == 1 else 's'}" if days else "within a day"
        return f"{self.whose} expires {when}. {self.remedy}"


def validities(server: ServerAddress, access: HubAccess, certificate: bytes | None) -> list[Validity]:
    """Return the ends of the server's certificate (DER) and of those in the files of `access`, as far as they are known."""
    found: list[tuple[str, float | None, str]] = []
    if certificate is not None:
        with contextlib.suppress(ValueError):
            end_s = certificate_end_s(certificate)
            found.append((f"{server}: the certificate of the server", end_s, f"Renew it there{_IN_A_BOX}."))
        if access.ca is not None:
            remedy = f"Renew it at the hub{_IN_A_BOX}, and copy it here."
            ends = _ends_in(access.ca)
            found.append((f"{access.ca}: the authority of the hub", max(ends, default=None), remedy))
    if access.certificate is not None:
        ends = _ends_in(access.certificate)
        found.append((f"{access.certificate}: this certificate", ends[0] if ends else None, "Renew it."))
    return [Validity(whose, end_s, remedy) for whose, end_s, remedy in found if end_s is not None]


def certificate_end_s(der: bytes) -> float:
    """Return the end of validity of an X.509 certificate (DER) in seconds since the epoch. Raises ValueError."""
    # RFC 5280, 4.1: SEQUENCE { SEQUENCE { [0] version, serial, algorithm, issuer, SEQUENCE { notBefore, notAfter
    try:
        fields = _elements(_elements(_elements(der)[0][1])[0][1])
        if fields and fields[0][0] == 0xA0:
            del fields[0]
        tag, content = _elements(fields[3][1])[1]
    except IndexError:
        raise ValueError("no certificate") from None
    # 4.1.2.5.1: a UTCTime (0x17) of two digits from 50 on is of the 20th century.
    digits = content.decode("ascii")
    text = digits if tag == 0x18 else f"{'19' if digits[:2] >= '50' else '20'}{digits}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of each element of DER. Raises ValueError."""
    found, position = [], 0
    while position < len(data):
        try:
            tag, size = data[position], data[position + 1]
        except IndexError:
            raise ValueError("no certificate") from None
        position += 2
        if size & 0x80:
            digits = size & 0x7F
            size = int.from_bytes(data[position : position + digits], "big")
            position += digits
        content = data[position : position + size]
        if len(content) < size:
            raise ValueError("no certificate")
        found.append((tag, content))
        position += size
    return found


def _ends_in(path: str) -> list[float]:
    """Return the end of validity of each certificate in a PEM file; nothing if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = _CERTIFICATE.findall(file.read())
        return [certificate_end_s(ssl.PEM_cert_to_DER_cert(text)) for text in found]
    except (OSError, ValueError):
        return []
