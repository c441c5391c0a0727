"""The lab's own certificates: one authority for the API, one for the front proxy, one key for tokens.

ECDSA P-256, because RSA keys would take two seconds of a start. Every key is 0600.
Source: https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcluster.netns import plan

LIFETIME = dt.timedelta(days=365)
LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Identity:
    """One certificate: its file name, its subject, and the names that it is valid for."""

    file: str
    common_name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    authority: str = "ca"


def identities(nodes: Mapping[str, str]) -> list[Identity]:
    """Every identity of a lab with these nodes (their addresses by name)."""
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    api_hosts = (*LOOPBACK, *names, f"{names[-1]}.cluster.local", plan.API_SERVER, plan.GATEWAY)
    adapter_hosts = (*LOOPBACK, "adapter.monitoring.svc")
    keda_hosts = (*LOOPBACK, "keda-metrics-apiserver.keda.svc", "keda-operator.keda.svc")
    fixed = [
        Identity("apiserver", "kube-apiserver", hosts=api_hosts),
        Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("labkit:kubelet-clients",)),
        Identity("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
        Identity("admin", "labkit-admin", ("system:masters",)),
        Identity("kube-controller-manager", "system:kube-controller-manager", hosts=LOOPBACK),
        Identity("kube-scheduler", "system:kube-scheduler", hosts=LOOPBACK),
        Identity("kube-proxy", "system:kube-proxy"),
        Identity("prometheus", "prometheus", hosts=(*LOOPBACK, plan.PROMETHEUS, "prometheus.monitoring.svc")),
        Identity("adapter", "adapter", hosts=adapter_hosts),
        Identity("kwok", "kwok"),
        # KEDA's own roles are for the service account that its pods would have.
        Identity("keda", "system:serviceaccount:keda:keda-operator", ("system:serviceaccounts",), keda_hosts),
        Identity("metrics-reader", "metrics-reader"),
        Identity("epp", "epp", hosts=LOOPBACK),
        Identity("coredns", "coredns"),
        Identity("network-policies", "network-policies"),
        Identity("registry", "registry", hosts=(*LOOPBACK, "registry.lab")),
    ]
    return [*fixed, *(i for node in nodes.items() for i in node_identities(*node))]


def node_identities(name: str, ip: str) -> list[Identity]:
    """What one node needs: its client identity and the certificate that its kubelet port serves."""
    return [
        Identity(f"node-{name}", f"system:node:{name}", ("system:nodes",)),
        Identity(f"kubelet-{name}", f"system:node:{name}", ("system:nodes",), (*LOOPBACK, name, ip)),
    ]


def ensure(folder: Path, wanted: Iterable[Identity]) -> None:
    """Make missing authorities, token keys and identities; keep existing ones."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in ("ca", "front-proxy-ca"):
        if not (folder / f"{authority}.crt").exists():
            _make_authority(folder, authority)
    if not (folder / "sa.pub").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(folder / "sa.key", key)
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        _write(folder / "sa.pub", key.public_key().public_bytes(serialization.Encoding.PEM, public))
    authorities: dict[str, tuple[x509.Certificate, ec.EllipticCurvePrivateKey]] = {}
    for identity in wanted:
        if not (folder / f"{identity.file}.crt").exists():
            if identity.authority not in authorities:
                authorities[identity.authority] = _load(folder, identity.authority)
            _issue(folder, identity, *authorities[identity.authority])


def copy(folder: Path, file: str, into: Path) -> None:
    """An identity's certificate and key under the names that many programs look for: tls.crt, tls.key."""
    for suffix in ("crt", "key"):
        shutil.copy(folder / f"{file}.{suffix}", into / f"tls.{suffix}")
        (into / f"tls.{suffix}").chmod(0o600)


def _make_authority(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"labkit-{name}")])
    builder = _builder(subject, subject, key).add_extension(x509.BasicConstraints(True, None), critical=True)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signed = builder.add_extension(usage, critical=True).add_extension(ski, critical=False)
    _write_key(folder / f"{name}.key", key)
    _write(folder / f"{name}.crt", _pem(signed.sign(key, hashes.SHA256())))


def _issue(
    folder: Path, identity: Identity, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)])
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if identity.hosts else [])]
    builder = (
        _builder(subject, ca.subject, key)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    if identity.hosts:
        names_served = x509.SubjectAlternativeName([_host(h) for h in identity.hosts])
        builder = builder.add_extension(names_served, critical=False)
    _write_key(folder / f"{identity.file}.key", key)
    _write(folder / f"{identity.file}.crt", _pem(builder.sign(ca_key, hashes.SHA256())))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load(folder: Path, authority: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    cert = x509.load_pem_x509_certificate((folder / f"{authority}.crt").read_bytes())
    key = serialization.load_pem_private_key((folder / f"{authority}.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return cert, key


def _pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    # For serving, kube-apiserver reads SEC1 ("EC PRIVATE KEY") and PKCS#8 keys, for tokens only SEC1.
    form = serialization.PrivateFormat.TraditionalOpenSSL
    _write(path, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def _write(path: Path, data: bytes) -> None:
    # Renamed into place, the certificate after its key: a start that is killed leaves no incomplete pair.
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    part.replace(path)
