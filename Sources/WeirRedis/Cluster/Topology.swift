import Logging
import NIOCore
import NIOSSL
import Weir

/// Finds the node for each operation: the only one, or the one that serves the key's slot. Runs on one event loop.
final class Topology: @unchecked Sendable {
    // Sendable, because everything that changes is only used on `loop`.
    let loop: any EventLoop
    private let address: RedisAddress
    private let configuration: Node.Configuration
    private let logger: Logger
    /// Nil once the topology is closed.
    private var owner: (any NodeOwner)?
    private var nodes: [RedisAddress.Endpoint: Node] = [:]
    /// The only node; nil in a cluster.
    private var single: Node?
    private var slots: [Node?] = []
    private var isRefreshing = false
    /// When another node last named a node as the one to ask. The map of slots may not have it yet.
    private var named: [RedisAddress.Endpoint: NIODeadline] = [:]
    private var isClosed = false

    init(loop: any EventLoop, address: RedisAddress, configuration: Node.Configuration, logger: Logger) {
        self.loop = loop
        self.address = address
        self.configuration = configuration
        self.logger = logger
    }

    var isCluster: Bool { address.deployment == .cluster }

    func start(owner: any NodeOwner) {
        loop.execute { [self] in
            self.owner = owner
            switch address.deployment {
            case .single, .sentinel: single = makeNode(at: nil)
            case .cluster:
                slots = Array(repeating: nil, count: Slots.count)
                for endpoint in address.endpoints { _ = node(at: endpoint) }
            }
        }
    }

    func close() {
        loop.execute { [self] in
            isClosed = true
            owner = nil
            single?.close()
            for node in nodes.values { node.close() }
        }
    }

    private func makeNode(at endpoint: RedisAddress.Endpoint?) -> Node? {
        guard let owner else { return nil }
        let resolve: @Sendable (any EventLoop) -> EventLoopFuture<RedisAddress.Endpoint>
        if let endpoint {
            resolve = { $0.makeSucceededFuture(endpoint) }
        } else if case .sentinel(let master) = address.deployment {
            let finder = SentinelFinder(
                sentinels: address.endpoints, master: master, credentials: configuration.sentinelCredentials,
                tls: configuration.tls)
            resolve = { finder.find(on: $0) }
        } else {
            let endpoint = address.endpoints[0]
            resolve = { $0.makeSucceededFuture(endpoint) }
        }
        var configuration = configuration
        configuration.needsMaster = !isCluster
        let node = Node(loop: loop, configuration: configuration, logger: logger, owner: owner, resolve: resolve)
        node.start()
        return node
    }

    private func node(at endpoint: RedisAddress.Endpoint) -> Node? {
        if let node = nodes[endpoint] { return node }
        guard !isClosed, let node = makeNode(at: endpoint) else { return nil }
        nodes[endpoint] = node
        return node
    }

    // MARK: Routing

    func submit(_ operation: StoreOperation) {
        guard let node = node(for: operation.slot) else {
            refresh()
            operation.fail(trouble)
            return
        }
        if isCluster, !node.isUp { refresh() }
        node.submit(operation)
    }

    /// Sends a command that is not a batch, about one key.
    func command(
        _ command: RESPCommand, key: String, _ receive: @escaping (Result<RESPValue, StoreError>) -> Void
    ) {
        guard let node = node(for: Slots.slot(of: Self.hashed(key))) else {
            receive(.failure(trouble))
            return
        }
        node.command(command) { [self] result in
            guard isCluster, case .success(.error(let text)) = result,
                case .moved(let slot, let host, let port) = ServerError(text).kind
            else { return receive(result) }
            let endpoint = endpoint(host, port, namedBy: node)
            slots[slot] = self.node(at: endpoint)
            refresh()
            guard let target = slots[slot], target.isUp else { return receive(.failure(trouble)) }
            target.command(command, receive)
        }
    }

    private func endpoint(_ host: String, _ port: Int, namedBy node: Node) -> RedisAddress.Endpoint {
        let endpoint = RedisAddress.Endpoint(host: host.isEmpty ? node.endpoint?.host ?? "" : host, port: port)
        named[endpoint] = .now()
        return endpoint
    }

    /// Whether the node that serves a key is expected to answer.
    func isUp(for key: String) -> Bool { node(for: Slots.slot(of: Self.hashed(key)))?.isUp == true }

    /// The part of a key that determines its slot.
    private static func hashed(_ key: String) -> Substring.UTF8View {
        guard let open = key.utf8.firstIndex(of: UInt8(ascii: "{")) else { return key[...].utf8 }
        let rest = key[key.utf8.index(after: open)...]
        guard let close = rest.utf8.firstIndex(of: UInt8(ascii: "}")), close > rest.startIndex else {
            return key[...].utf8
        }
        return rest[..<close].utf8
    }

    private func node(for slot: Int) -> Node? {
        if let single { return single }
        return slot < slots.count ? slots[slot] : nil
    }

    /// Why no node answers now.
    var trouble: StoreError {
        single?.trouble ?? nodes.values.lazy.compactMap(\.trouble).first
            ?? StoreError(.unavailable, "not connected yet")
    }

    /// Sends an operation to the node that should have it, or again after a pause, until its deadline. Its node proved
    /// that it did not execute it.
    func refused(_ operation: StoreOperation, _ error: ServerError, by node: Node) {
        guard NIODeadline.now() < operation.deadline else {
            operation.fail(error.failure)
            return
        }
        operation.isAsking = false
        switch error.kind {
        case .moved(let slot, let host, let port) where isCluster:
            let endpoint = endpoint(host, port, namedBy: node)
            slots[slot] = self.node(at: endpoint)
            refresh()
            submit(operation)
        case .ask(let host, let port) where isCluster:
            let endpoint = endpoint(host, port, namedBy: node)
            guard let target = self.node(at: endpoint), target.isUp else {
                retry(operation, error)
                return
            }
            operation.isAsking = true
            target.submit(operation)
        case .clusterDown:
            refresh()
            retry(operation, error)
        default: retry(operation, error)
        }
    }

    private func retry(_ operation: StoreOperation, _ error: ServerError) {
        let pause = TimeAmount.milliseconds(5)
        // A late renewal could bring back a permit that was freed meanwhile. The next renewal is on its way.
        if case .renew = operation.work { return }
        guard NIODeadline.now() + pause < operation.deadline else {
            operation.fail(error.failure)
            return
        }
        loop.scheduleTask(in: pause) { self.submit(operation) }
    }

    // MARK: The cluster's map

    /// A node has connected. In a cluster, it may know a newer map.
    func isReady(_ node: Node) { if isCluster { refresh() } }

    /// Asks a node that is up for the map of slots, at most ten times a second.
    private func refresh() {
        guard isCluster, !isRefreshing, !isClosed, let node = nodes.values.filter(\.isUp).randomElement() else {
            return
        }
        isRefreshing = true
        let deadline = loop.scheduleTask(in: .seconds(1)) { self.isRefreshing = false }
        node.command(RESPCommand("CLUSTER", "SLOTS")) { [self] result in
            deadline.cancel()
            if case .success(let value) = result, let asked = node.endpoint,
                let owners = Slots.owners(value, asked: asked)
            {
                apply(owners)
            }
            loop.scheduleTask(in: .milliseconds(100)) { [self] in
                isRefreshing = false
                // While a master is gone, its replica may be promoted at any moment.
                if slots.contains(where: { $0?.isUp != true }) { refresh() }
            }
        }
    }

    private func apply(_ owners: [(slots: ClosedRange<Int>, master: RedisAddress.Endpoint)]) {
        var map = [Node?](repeating: nil, count: Slots.count)
        for (range, master) in owners {
            guard let node = node(at: master) else { continue }
            for slot in range { map[slot] = node }
        }
        slots = map
        let used = Set(owners.map(\.master)).union(address.endpoints)
        named = named.filter { NIODeadline.now() - $0.value < .seconds(30) }
        for (endpoint, node) in nodes where !used.contains(endpoint) && named[endpoint] == nil && node.isIdle {
            node.close()
            nodes[endpoint] = nil
        }
    }
}
