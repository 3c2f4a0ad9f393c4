"""URLs of servers: what is accepted, what is rejected with which remedy, and what of it is shown."""

import pytest

from gopher.base.address import ServerAddress, TlsOptions, masked
from gopher.base.endpoints import AddressMap


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("REDIS://h", "redis://h:6379/0"),
        ("redis://", "redis://localhost:6379/0"),
        ("redis:///3", "redis://localhost:6379/3"),
        ("redis://h:", "redis://h:6379/0"),
        ("redis://h:1/", "redis://h:1/0"),
        ("redis://h/?db=2", "redis://h:6379/2"),
        ("redis://h/2?db=2", "redis://h:6379/2"),
        ("valkeys://h", "rediss://h:6379/0"),
        # Ports.
        ("redis+sentinel://h1,h2:1/m", "redis+sentinel://h1:26379,h2:1/m/0"),
        ("rediss+sentinel://h1/m/2", "rediss+sentinel://h1:26379/m/2"),
        ("redis+cluster://h1,h2:1", "redis+cluster://h1:6379,h2:1"),
        ("rediss+cluster://h1/0", "rediss+cluster://h1:6379"),
        # Other spellings.
        ("redis-sentinel://h/m", "redis+sentinel://h:26379/m/0"),
        ("rediss-cluster://h", "rediss+cluster://h:6379"),
        ("valkeys-sentinel://h/m", "rediss+sentinel://h:26379/m/0"),
        ("valkeys+cluster://h", "rediss+cluster://h:6379"),
        ("redis+socket:///run/a.sock", "unix:///run/a.sock"),
        ("unix:///run/a.sock/?db=3", "unix:///run/a.sock?db=3"),
        # Credentials.
        ("redis://:p%2Fw%40@h", "redis://:p%2Fw%40@h:6379/0"),
        ("redis://user:@h", "redis://user:@h:6379/0"),
        ("redis://@h", "redis://h:6379/0"),
        ("redis://h?username=u&password=p%26w", "redis://u:p%26w@h:6379/0"),
        ("unix://u:p@/run/a.sock", "unix://u:p@/run/a.sock"),
        ("redis+cluster://u%40x:p:q@h1,h2", "redis+cluster://u%40x:p%3Aq@h1:6379,h2:6379"),
        # IPv6.
        ("redis://[::1]", "redis://[::1]:6379/0"),
        ("redis://[fe80::1%25eth0]:7", "redis://[fe80::1%25eth0]:7/0"),
        ("rediss+cluster://h:7000,[::1]:7001,[2001:db8::2]", "rediss+cluster://h:7000,[::1]:7001,[2001:db8::2]:6379"),
        ("redis+sentinel://[::1],[::2]:1/m", "redis+sentinel://[::1]:26379,[::2]:1/m/0"),
        # Options.
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "rediss://h:6379/0?ssl_cert_reqs=none"),
        ("rediss://h?ssl_cert_reqs=Optional", "rediss://h:6379/0?ssl_cert_reqs=required"),
        ("rediss://h?ssl_check_hostname=False", "rediss://h:6379/0?ssl_check_hostname=0"),
        ("redis+sentinel://h/m?sentinel_tls=yes", "redis+sentinel://h:26379/m/0?sentinel_tls=1"),
        ("redis+cluster://h?address_map=a:1=b:2, c=d", "redis+cluster://h:6379?address_map=a:1=b:2,c=d"),
    ],
)
def test_a_url_is_accepted(text, url):
    address = ServerAddress.parse(text)
    assert address.url == url
    assert ServerAddress.parse(url) == address


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("localhost:6379", "expected a URL such as redis://"),
        ("rediss//h", "expected a URL such as redis://"),
        ("https://eu1-name.upstash.io", "expected rediss://, not the address of an HTTP API"),
        ("tcp://h:6379", "expected redis:// in place of tcp://"),
        ("tls://h:6379", "expected rediss:// in place of tls://"),
        ("sentinel://h1:26379;sentinel://h2:26379", "the name of the master after the hosts: redis+sentinel://"),
        ("redis-sentinel://h:26379/0#mymaster", "the name of the master after the hosts: redis+sentinel://"),
        ("redis+sentinel://h", "the name of the master after the hosts"),
        ("redis+sentinel://h/0", "the name of the master after the hosts"),
        ("redis+cluster://h/1", "a cluster has database 0 only"),
        ("redis+cluster://h?db=1", "a cluster has database 0 only"),
        ("redis://h/1?db=2", "one database number"),
        ("redis://h/-1", "a database number"),
        ("redis://h1,h2", "several are for redis+sentinel:// and redis+cluster://"),
        ("redis://::1:6379", "an IPv6 address in brackets"),
        ("redis+cluster://::1,::2", "an IPv6 address in brackets"),
        ("redis://[nonsense]:6379", "an IPv6 address in the brackets"),
        ("redis://[::1", "host or host:port"),
        ("redis://h:0", "host or host:port"),
        ("redis://h:70000", "host or host:port"),
        ("redis://h#1", "nothing after #"),
        ("redis://user:se/cret@h", "/ is %2F"),
        ("redis://user:1?cret@h", "? is %3F"),
        ("redis://user:1#cret@h", "# is %23"),
        ("unix://host/run/a.sock", "unix:///absolute/path"),
        # Options.
        ("redis://h?nonsense=1", "no option 'nonsense': the options are db, username"),
        ("redis://h?nonsense", "no option 'nonsense'"),
        ("redis://h?DB=1", "no option 'DB'"),
        ("unix:///run/a.sock?ssl_cert_reqs=none", "no ssl_cert_reqs in a unix:// URL"),
        ("redis://h?socket_timeout=3", "use the setting REDIS_TIMEOUT"),
        ("redis://h?ssl=true", "use rediss:// for TLS"),
        ("redis://h?protocol=3", "no option 'protocol': remove it"),
        ("redis://h?max_connections=10", "no option 'max_connections': remove it"),
        ("redis+sentinel://h/m?master_name=x", "the name of the master into the path"),
        ("rediss://h?skip_verify=true", "use ssl_cert_reqs=none"),
        ("redis://h?ssl_cert_reqs=none", "no ssl_cert_reqs in a redis:// URL: it is for rediss://"),
        ("redis://h?sentinel_password=x", "it is for redis+sentinel://"),
        ("rediss://h?address_map=a=b", "it is for redis+sentinel:// or redis+cluster://"),
        ("rediss://h?ssl_cert_reqs=maybe", "required or none in the option ssl_cert_reqs"),
        ("rediss://h?ssl_check_hostname=", "1 or 0 in the option ssl_check_hostname"),
        ("rediss://h?ssl_ca_certs=/nowhere.pem", "in the option ssl_ca_certs"),
        ("rediss://h?ssl_server_name=a/b", "in the option ssl_server_name"),
        ("rediss://h?db=1&db=2", "the option db once"),
        ("rediss://h?ssl_password=x", "ssl_certfile with ssl_password"),
        ("redis+sentinel://h/m?sentinel_username=x", "sentinel_password with sentinel_username"),
        ("redis+cluster://h?address_map=a", "addresses such as 10.0.0.5:6379=redis.example.com:7001"),
        ("redis+cluster://h?address_map=a=b,a=c", "each once"),
        ("redis+cluster://h?address_map=a:x=b", "in the option address_map"),
    ],
)
def test_a_url_is_rejected_with_a_remedy(text, remedy):
    with pytest.raises(ValueError, match="^expected ") as caught:
        ServerAddress.parse(text)
    assert remedy in str(caught.value)
    assert "cret" not in str(caught.value)


def test_options_of_tls_are_read(tmp_path):
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    for path in files.values():
        path.touch()
    paths = f"ssl_ca_certs={files['ca']}&ssl_certfile={files['cert']}&ssl_keyfile={files['key']}"
    address = ServerAddress.parse(
        f"rediss://h?{paths}&ssl_password=geheim&ssl_server_name=name.test&ssl_check_hostname=0"
    )
    assert address.tls == TlsOptions(
        str(files["ca"]), False, "name.test", str(files["cert"]), str(files["key"]), "geheim"
    )
    either = ServerAddress.parse("rediss://h?ssl_cert_reqs=none")
    assert either.tls is not None
    assert either.tls.verify == "none"
    with pytest.raises(ValueError, match="either ssl_cert_reqs=none or ssl_ca_certs"):
        ServerAddress.parse(f"rediss://h?ssl_cert_reqs=none&ssl_ca_certs={files['ca']}")


@pytest.mark.parametrize(
    ("url", "servers", "sentinels"),
    [
        ("redis://h", False, False),
        ("rediss://h", True, False),
        ("unix:///run/a.sock", False, False),
        ("redis+cluster://h", False, False),
        ("rediss+cluster://h", True, False),
        ("redis+sentinel://h/m", False, False),
        ("rediss+sentinel://h/m", True, True),
        ("rediss+sentinel://h/m?sentinel_tls=0", True, False),
        ("redis+sentinel://h/m?sentinel_tls=1&ssl_cert_reqs=none", False, True),
    ],
)
def test_it_is_known_who_uses_tls(url, servers, sentinels):
    address = ServerAddress.parse(url)
    assert (address.uses_tls, address.sentinels_use_tls) == (servers, sentinels)
    assert (address.tls is not None) == (servers or sentinels)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:geheim@h/1",
        "redis://:geheim@h",
        "redis+sentinel://:geheim@h/m?sentinel_username=u&sentinel_password=geheim",
        "rediss+cluster://h?password=geheim",
        f"rediss://h?ssl_certfile={__file__}&ssl_password=geheim",
        "redis://user:a@geheim@h",
        "unix://u:geheim@/run/a.sock",
    ],
)
def test_no_secret_is_shown(url):
    assert "geheim" not in masked(url)
    address = ServerAddress.parse(url)
    assert "geheim" not in f"{address} {address!r}"
    assert "***" in str(address)


@pytest.mark.parametrize("url", ["redis://:geheim@h?PASSWORD=geheim", "redis://geheim@h:port", "redis://geheim@h/1/2"])
def test_no_secret_is_shown_of_a_url_that_is_rejected(url):
    assert "geheim" not in masked(url)
    with pytest.raises(ValueError, match="^expected ") as caught:
        ServerAddress.parse(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("reported", "reached"),
    [
        (("10.0.0.5", 6379), ("a.test", 7001)),
        (("10.0.0.5", 6380), ("10.0.0.5", 6380)),
        (("10.0.0.6", 6379), ("b.test", 6379)),
        (("10.0.0.6", 6380), ("b.test", 6380)),
        (("10.0.0.7", 6379), ("c.test", 6379)),
        (("::1", 6379), ("::2", 7)),
        (("elsewhere", 6379), ("elsewhere", 6379)),
    ],
)
def test_addresses_are_mapped_with_and_without_ports(reported, reached):
    entries = "10.0.0.5:6379=a.test:7001, 10.0.0.6=b.test, 10.0.0.7:6379=c.test, [::1]:6379=[::2]:7"
    assert AddressMap(entries)(reported) == reached
