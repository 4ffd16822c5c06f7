import ArgumentParser
import Foundation

struct Init: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Write a commented weir.yaml to start from.")

    @Argument(help: "The file to write.")
    var file = "weir.yaml"

    @Option(help: "The URL of the API to protect.")
    var upstream = "http://127.0.0.1:8000"

    @Flag(help: "Overwrite the file if it exists.")
    var force = false

    func run() throws {
        guard force || !FileManager.default.fileExists(atPath: file) else {
            complain("\(file) already exists; use --force to overwrite it")
            throw ExitCode.failure
        }
        do {
            try Self.template(upstream: upstream).write(toFile: file, atomically: true, encoding: .utf8)
        } catch {
            complain("\(file) can't be written: \(error.localizedDescription)")
            throw ExitCode.failure
        }
        print("wrote \(file); next, run: weir validate \(file) && weir serve \(file)")
    }

    static func template(upstream: String) -> String {
        """
        # The limits that Weir enforces. Check this file with `weir validate`. docs/policy.md explains every key.

        listen: 127.0.0.1:8080           # where clients connect; "*:8080" for all interfaces
        # tls: {certificate: cert.pem, key: key.pem}
        upstream: \(upstream)  # the API behind Weir
        admin: 127.0.0.1:9090            # health, readiness and metrics; keep it on loopback

        # If there is a proxy or load balancer in front of Weir, list its addresses. X-Forwarded-For is trusted only
        # from them.
        # trusted_proxies: [10.0.0.0/8]

        # How to identify clients: the first source that is present and known wins. Without this list, a client is
        # identified by its address.
        # client:
        #   - header: X-API-Key
        #     known: {file: keys.txt}    # one key per line, then optionally a space and a tier
        #   - address: {ipv6_prefix: 64}

        # tiers:
        #   source: {file: keys.txt}
        #   default: free

        exempt:                          # never limited
          - path: /health

        limits:
          - name: per-client             # each client: 60 requests a minute, in bursts of up to 60
            rate: 60/minute

        # - name: predict                # an expensive route: two windows, and a batch costs its length
        #   match: {method: POST, path: /predict}
        #   rate: 20/minute burst 64; 2000/hour
        #   cost: {json_length: /inputs, default: 1, max: 64}

        # - name: gpu                    # at most 8 requests in flight, from all clients together
        #   match: {path: "/predict*"}
        #   key: [global]
        #   algorithm: concurrency
        #   limit: 8

        # - name: tighter                # shadow mode: denies nothing, but shows up in the metrics
        #   rate: 30/minute
        #   mode: shadow

        """
    }
}
