import Foundation

/// A cluster of three masters with a replica each.
public final class RedisCluster: Sendable {
    public let servers: [RedisServer]

    public init(
        _ folder: Folder, _ product: RedisServer.Product = .redis, nodeTimeout: Int = 2000, replicas: Int = 1
    ) async throws {
        var servers: [RedisServer] = []
        for _ in 0..<(3 * (1 + replicas)) {
            servers.append(
                try await RedisServer(
                    folder, product, "--cluster-enabled", "yes", "--cluster-node-timeout", "\(nodeTimeout)",
                    "--cluster-port", "\(try freePort())", "--cluster-config-file", "nodes-\(UUID().uuidString).conf"))
        }
        self.servers = servers
        try servers[0].ask(
            ["--cluster", "create"] + servers.map { "127.0.0.1:\($0.port)" }
                + ["--cluster-replicas", "\(replicas)", "--cluster-yes"])
        for server in servers {
            try await until("the cluster is whole") {
                let info = try server.ask("CLUSTER", "INFO")
                let replication = try server.ask("INFO", "replication")
                return info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:\(servers.count)")
                    && (replication.contains("role:master") || replication.contains("master_link_status:up"))
            }
        }
    }

    public var url: String { "redis+cluster://" + servers.map { "127.0.0.1:\($0.port)" }.joined(separator: ",") }

    /// The nodes' ids and roles, as one of them sees them: id, port, whether it is a master that is up.
    public func nodes(seenBy server: RedisServer) throws -> [(id: String, port: Int, isMaster: Bool)] {
        try server.ask("CLUSTER", "NODES").split(separator: "\n").compactMap { line in
            let parts = line.split(separator: " ")
            guard parts.count >= 8, let port = parts[1].split(separator: ":").last?.split(separator: "@").first,
                let number = Int(port)
            else { return nil }
            return (String(parts[0]), number, parts[2].contains("master") && !parts[2].contains("fail"))
        }
    }
}

/// A master with a replica, watched by three sentinels.
public final class SentinelGroup: Sendable {
    public let master: RedisServer
    public let replica: RedisServer
    private let sentinels: [Program]
    private let ports: [Int]

    public init(_ folder: Folder) async throws {
        master = try await RedisServer(folder)
        replica = try await RedisServer(folder, .redis, "--replicaof", "127.0.0.1", "\(master.port)")
        let replica = replica
        try await until("the replica follows") {
            try replica.ask("INFO", "replication").contains("master_link_status:up")
        }
        var sentinels: [Program] = []
        var ports: [Int] = []
        for index in 0..<3 {
            let port = try freePort()
            let file = try folder.write(
                """
                port \(port)
                bind 127.0.0.1
                dir \(folder.url.path)
                sentinel monitor weir 127.0.0.1 \(master.port) 2
                sentinel down-after-milliseconds weir 1000
                sentinel failover-timeout weir 3000
                """, "sentinel-\(index).conf")
            sentinels.append(try Program("/usr/bin/redis-sentinel", [file], in: folder))
            ports.append(port)
        }
        self.sentinels = sentinels
        self.ports = ports
        for port in ports {
            try await until("the sentinels know each other") {
                let process = Process()
                process.executableURL = URL(fileURLWithPath: "/usr/bin/redis-cli")
                process.arguments = ["-p", "\(port)", "SENTINEL", "master", "weir"]
                let output = Pipe()
                process.standardOutput = output
                process.standardError = FileHandle.nullDevice
                try process.run()
                let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
                process.waitUntilExit()
                let lines = text.split(separator: "\n").map(String.init)
                func value(_ name: String) -> String? {
                    lines.firstIndex(of: name).flatMap { $0 + 1 < lines.count ? lines[$0 + 1] : nil }
                }
                return value("num-other-sentinels") == "2" && value("num-slaves") == "1"
            }
        }
    }

    public var url: String { "redis+sentinel://" + ports.map { "127.0.0.1:\($0)" }.joined(separator: ",") + "/weir" }
}
