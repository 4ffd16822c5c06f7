import ArgumentParser
import Foundation

struct Init: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Write a commented weir.yaml to begin with.")

    @Argument(help: "Where to write it.")
    var file = "weir.yaml"

    @Option(help: "The API to protect.")
    var upstream = "http://127.0.0.1:8000"

    @Flag(help: "Overwrite a file that is there.")
    var force = false

    func run() throws {
        guard force || !FileManager.default.fileExists(atPath: file) else {
            complain("\(file) is already there; --force overwrites it")
            throw ExitCode.failure
        }
        do {
            try Self.template(upstream: upstream).write(toFile: file, atomically: true, encoding: .utf8)
        } catch {
            complain("\(file) can't be written: \(error.localizedDescription)")
            throw ExitCode.failure
        }
        print("wrote \(file); now: weir validate \(file) && weir serve --config \(file)")
    }

    static func template(upstream: String) -> String {
        """
        # What Weir enforces. `weir validate` checks this file; docs/policy.md explains every key.

        listen: 127.0.0.1:8080           # where clients connect
        upstream: \(upstream)  # the API behind Weir
        admin: 127.0.0.1:9090            # health, readiness and metrics; keep it on loopback

        # If a proxy or load balancer stands before Weir, name its addresses. Only these are believed when they say,
        # in X-Forwarded-For, who the client is.
        # trusted_proxies: [10.0.0.0/8]

        # Who is asking: the first that is present and known wins. Without this, the client is its address.
        # client:
        #   - header: X-API-Key
        #     known: {file: keys.txt}    # one key on a line, after a space its tier
        #   - address: {ipv6_prefix: 64}

        # tiers:
        #   source: {file: keys.txt}
        #   default: free

        exempt:                          # never limited
          - path: /health

        limits:
          - name: per-client             # every client: 60 requests a minute, at most 60 at once
            rate: 60/minute

        # - name: predict                # an expensive route: two windows, cost by the batch's length
        #   match: {method: POST, path: /predict}
        #   rate: 20/minute burst 64; 2000/hour
        #   cost: {json_length: /inputs, default: 1, max: 64}

        # - name: gpu                    # at most 8 requests in flight, whoever sends them
        #   match: {path: "/predict*"}
        #   key: [global]
        #   algorithm: concurrency
        #   limit: 8

        # - name: tighter                # try a limit without denying anybody: watch it in the metrics
        #   rate: 30/minute
        #   mode: shadow

        """
    }
}
