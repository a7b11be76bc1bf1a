#!/bin/sh
# Fetch the real servers that the engines' tests run against into .tools/: Apache Cassandra and HashiCorp Consul.
# Usage: servers.sh, from the top of the repository. What is there already is left alone; whatever is missing is one line.
set -eu

cassandra_version=5.0.9
consul_version=1.8 # What Debian's release bullseye carries; later ones have another licence.
consul_suite=bullseye
java_least=17

say() { printf 'twinhold: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

java_version() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1; }

quietly() { # quietly COMMAND...: show what it says only if it fails.
    "$@" >"$work/said" 2>&1 || { sed 's/^/  /' "$work/said" | tail -n 15 >&2; return 1; }
}

fetch_cassandra() { # All jars of the server, by the machine's own Maven settings.
    has mvn || fail "needs Maven to fetch Cassandra; install it with: apt-get install -y maven"
    say "fetching Cassandra $cassandra_version (100 jars, 66 MB) into .tools/cassandra"
    rm -rf .tools/cassandra
    mkdir -p .tools/cassandra
    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>twinhold</groupId><artifactId>cassandra</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>$cassandra_version</version>
    </dependency>
  </dependencies>
</project>
POM
    quietly mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$PWD/.tools/cassandra/lib" ||
        fail "Cassandra could not be fetched; Maven needs a repository that it can reach (see: ~/.m2/settings.xml)"
    touch ".tools/cassandra/$cassandra_version.stamp"
}

mirrors() { # The Debian archives that this machine's apt knows already.
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 2>/dev/null | grep -v -- '-security' | cut -d' ' -f1 | sort -u
}

apt_of_old() { # apt-get with sources, lists and cache of its own: the machine's stay as they are.
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" \
        -o Debug::NoLocking=1 -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

download_consul() { # download_consul MIRROR: leave the package in $work.
    echo "deb $1 $consul_suite main" >"$work/sources.list"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    quietly apt_of_old update && (cd "$work" && quietly apt_of_old download consul)
}

fetch_consul() { # Unpacked, never installed.
    for tool in apt-get dpkg; do
        has "$tool" || fail "needs $tool to fetch Consul's Debian package: run on Debian, or put consul $consul_version into .tools/consul/"
    done
    say "fetching Consul $consul_version from Debian $consul_suite into .tools/consul"
    rm -rf .tools/consul
    for mirror in $(mirrors); do
        ! download_consul "$mirror" || break
    done
    package=$(find "$work" -maxdepth 1 -name 'consul_*.deb')
    [ -n "$package" ] || fail "Consul could not be fetched: no apt source of this machine carries Debian $consul_suite"
    dpkg -x "$package" "$work/unpacked"
    mkdir -p .tools/consul
    mv "$work/unpacked/usr/bin/consul" .tools/consul/consul
    touch ".tools/consul/$consul_version.stamp"
}

has java || fail "needs Java $java_least or later; install it with: apt-get install -y default-jre-headless"
[ "$(java_version)" -ge "$java_least" ] ||
    fail "needs Java $java_least or later but found $(java_version); install it with: apt-get install -y default-jre-headless"
mkdir -p .tools
work=$(mktemp -d "$PWD/.tools/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
[ -e ".tools/consul/$consul_version.stamp" ] || fetch_consul
[ -e ".tools/cassandra/$cassandra_version.stamp" ] || fetch_cassandra
