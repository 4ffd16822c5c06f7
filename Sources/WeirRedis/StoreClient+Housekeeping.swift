import Logging
import NIOCore
import Synchronization
import Weir

/// Periodic work: renewing permits, giving back units that were not spent, counting instances and sharing the keys'
/// secret.
extension StoreClient {
    func startTimers() {
        // Renew a tenth of the permits at a time. Each is renewed at a third of its lease, and they don't crowd out
        // decisions.
        let slice = TimeAmount.microseconds(max(options.leaseTicks, 30_000) / 30)
        let renew = loop.scheduleRepeatedTask(initialDelay: slice, delay: slice) { [self] _ in
            let now = renewals.wrappingAdd(1, ordering: .relaxed).newValue % 10
            renewLeases(permits.withLock { $0.keys.filter { $0 % 10 == now } })
        }
        let secret = loop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) {
            [self] task in
            guard !secrets.withLock({ $0.isKnown }) else { return task.cancel() }
            fetchSecret()
        }
        let unspent = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .milliseconds(500)) { [self] _ in
            giveBackUnspent(at: localTime(.now()))
        }
        let beat = TimeAmount.microseconds(options.heartbeatTicks)
        let others = loop.scheduleRepeatedTask(initialDelay: beat, delay: beat) { [self] _ in
            denials.sweep(at: .now())
            lookups.sweep(at: .now())
            countInstances()
            fetchSecret()
        }
        timers.withLock { $0 = [renew, secret, unspent, others] }
    }

    var secretKey: String { "\(options.keyPrefix)key-secret" }

    /// In milliseconds; longer than any counter is kept.
    private static let secretLifetime = 400 * 86_400 * 1000

    /// Reads the secret that all instances share, or puts one into the store. A store that came back empty gets the old
    /// secret again from the first instance that notices.
    func fetchSecret() {
        guard options.keySecret == nil else { return }
        let mine = secrets.withLock { $0.hasher.sharedSecretText }
        let put = RESPCommand("SET", secretKey, mine, "NX", "PX", String(Self.secretLifetime))
        topology.command(put, key: secretKey) { _ in }
        topology.command(RESPCommand("PEXPIRE", secretKey, String(Self.secretLifetime)), key: secretKey) { _ in }
        topology.command(RESPCommand("GET", secretKey), key: secretKey) { [self] result in
            // A server's error says nothing about the secret.
            guard case .success(.string(let buffer)) = result else { return }
            let text = String(buffer: buffer)
            guard let hasher = KeyHasher(sharedSecretText: text) else {
                logger.error("the store's key '\(secretKey)' does not hold a secret; delete it or set WEIR_KEY_SECRET")
                return
            }
            adopt(hasher, text: text)
        }
    }

    private func adopt(_ hasher: KeyHasher, text: String) {
        let onChange = secrets.withLock { secrets -> (@Sendable () -> Void)? in
            if secrets.isKnown, secrets.hasher.sharedSecretText == text { return nil }
            let isSame = secrets.hasher.sharedSecretText == text
            secrets.hasher = hasher
            secrets.isKnown = true
            return isSame ? nil : secrets.onChange
        }
        onChange?()
    }

    func countInstances() {
        guard !hasLeft.load(ordering: .relaxed) else { return }
        let key = "\(options.keyPrefix)instances"
        let script = """
            local t = redis.call('TIME')
            local now = t[1] * 1000 + math.floor(t[2] / 1000)
            redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
            redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
            redis.call('PEXPIRE', KEYS[1], ARGV[2])
            return redis.call('ZCARD', KEYS[1])
            """
        // Three heartbeats, in milliseconds.
        let lifetime = max(3, options.heartbeatTicks / 1000 * 3)
        let command = RESPCommand("EVAL", script, "1", key, identityText, String(lifetime))
        topology.command(command, key: key) { [self] result in
            guard case .success(.integer(let count)) = result else {
                isUp.store(false, ordering: .relaxed)
                instanceCount.withLock { $0.countFailed() }
                return
            }
            isUp.store(true, ordering: .relaxed)
            instanceCount.withLock {
                $0.counted(Int(clamping: count), at: .now(), heartbeat: .microseconds(options.heartbeatTicks))
            }
        }
    }
}

extension KeyHasher {
    /// Reads 32 hexadecimal digits.
    fileprivate init?(sharedSecretText text: String) {
        guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16),
            let low = UInt64(text.suffix(16), radix: 16)
        else { return nil }
        self.init(sharedSecret: high, low)
    }

    fileprivate var sharedSecretText: String {
        let (high, low) = sharedSecret
        return [high, low].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
