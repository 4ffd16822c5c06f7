import NIOCore
import Weir

/// The operations that wait or are under way on one connection: a state machine without I/O.
///
/// Events go in, and actions come out. It belongs to one event loop.
struct Pipeline {
    /// Something that was sent. The server answers in the same order.
    enum Sent {
        case batch(Batch, NIODeadline)
        case command(Control, NIODeadline)

        var time: NIODeadline {
            switch self {
            case .batch(_, let time), .command(_, let time): time
            }
        }
    }

    /// A command that is not a batch, such as a part of the handshake.
    struct Control {
        /// Whether an answer within the deadline closes the breaker.
        var isProbe = false
        var receive: (Result<RESPValue, StoreError>) -> Void
    }

    struct Options {
        /// How long a decision may take, all waiting included.
        let deadline: TimeAmount
        /// The most charges that wait or are under way.
        var mostWaiting = 10_000
        var pacing: BatchPacing.Options
        /// Whether all keys of a batch must lie in one slot, as in a cluster.
        let isCluster: Bool
        /// How long the server may send no reply before the connection is closed.
        var silence = TimeAmount.seconds(1)

        init(deadline: TimeAmount = .milliseconds(50), isCluster: Bool = false) {
            self.deadline = deadline
            self.isCluster = isCluster
            pacing = BatchPacing.Options(deadline: deadline, isCluster: isCluster)
        }
    }

    /// Whether the connection is ready for operations.
    private(set) var isUp = false
    /// Opens when a deadline passes without an answer, and closes when a probe is answered within the deadline.
    private(set) var isBreakerOpen = false
    private var waiting = CircularBuffer<StoreOperation>()
    private var inFlight = CircularBuffer<Sent>()
    private var pacing: BatchPacing
    private var size = 0
    private var lastHeard = NIODeadline.uptimeNanoseconds(0)
    let options: Options

    init(_ options: Options) {
        self.options = options
        pacing = BatchPacing(options.pacing)
    }

    var isIdle: Bool { inFlight.isEmpty && waiting.isEmpty }

    /// The connection is ready for operations.
    mutating func open(at now: NIODeadline) {
        isUp = true
        isBreakerOpen = false
        lastHeard = now
    }

    /// Takes an operation, or returns why it doesn't. Nothing is queued for a server that is not connected.
    mutating func submit(_ operation: StoreOperation) -> StoreError? {
        guard isUp else { return StoreError(.unavailable, "not connected") }
        guard !isBreakerOpen || operation.isPatient else {
            return StoreError(.unavailable, "the server does not answer in time")
        }
        guard size + operation.size <= options.mostWaiting else {
            return StoreError(.overloaded, "\(size) charges are waiting already")
        }
        size += operation.size
        waiting.append(operation)
        return nil
    }

    /// Returns operations to the front of the queue. The server proved that it did not execute them.
    mutating func returnToQueue(_ operations: some BidirectionalCollection<StoreOperation>) {
        for operation in operations.reversed() where !operation.isAnswered {
            size += operation.size
            waiting.prepend(operation)
        }
    }

    /// Until when operations may gather; nil if each must be looked at as it arrives.
    func gathering(at now: NIODeadline) -> BatchPacing.Gathering? {
        if isUp, case .gather(let gathering) = step(mayGather: true, at: now) { gathering } else { nil }
    }

    private func step(mayGather: Bool, at now: NIODeadline) -> BatchPacing.Step {
        pacing.step(
            waiting: waiting.count, isFull: waiting.reduce(0) { $0 + $1.size } >= Batch.most,
            mayGather: mayGather && !isBreakerOpen, at: now)
    }

    /// The next batch to send; nil if none is to be sent now.
    ///
    /// - Parameter mayGather: false to send everything that waits.
    mutating func nextBatch(prefix: String, at now: NIODeadline, mayGather: Bool = true) -> Batch? {
        guard isUp, !waiting.isEmpty, case .send = step(mayGather: mayGather, at: now) else { return nil }
        var batch = Batch()
        var count = 0
        // An operation that follows an ASK redirection is sent alone, behind an ASKING.
        while let first = waiting.first, count == 0 || count + first.size <= Batch.most && !first.isAsking,
            !batch.isAsking, !options.isCluster || count == 0
        {
            waiting.removeFirst()
            if first.isAnswered {
                size -= first.size
                continue
            }
            batch.append(first, prefix: prefix)
            count += first.size
        }
        if options.isCluster, let slot = batch.operations.first?.slot, !batch.isAsking {
            waiting.removeAll { operation in
                guard operation.slot == slot, !operation.isAnswered, !operation.isAsking,
                    count + operation.size <= Batch.most
                else { return false }
                batch.append(operation, prefix: prefix)
                count += operation.size
                return true
            }
        }
        guard count > 0 else { return nil }
        pacing.sent(batch.operations.count, at: now)
        inFlight.append(.batch(batch, now))
        return batch
    }

    mutating func sent(_ control: Control, at now: NIODeadline) {
        inFlight.append(.command(control, now))
    }

    /// Notes a command that was sent just before the last batch.
    mutating func sent(_ control: Control, beforeLastAt now: NIODeadline) {
        let last = inFlight.popLast()
        inFlight.append(.command(control, now))
        if let last { inFlight.append(last) }
    }

    /// Takes the arrival of a reply. Returns what it answers; nil if nothing was asked.
    mutating func received(at now: NIODeadline) -> Sent? {
        guard let first = inFlight.popFirst() else { return nil }
        lastHeard = now
        switch first {
        case .batch(let batch, _):
            pacing.answered(batch.operations.count)
            size -= batch.operations.reduce(0) { $0 + $1.size }
        case .command(let control, let time):
            if control.isProbe, now - time <= options.deadline { isBreakerOpen = false }
        }
        return first
    }

    /// The operations that are overdue. The caller fails them; a late answer still finds them.
    mutating func expire(at now: NIODeadline) -> [StoreOperation] {
        var overdue: [StoreOperation] = []
        for case .batch(let batch, _) in inFlight {
            for operation in batch.operations where !operation.isAnswered && operation.deadline <= now {
                overdue.append(operation)
            }
        }
        if !overdue.isEmpty { isBreakerOpen = true }
        func isOver(_ operation: StoreOperation) -> Bool {
            operation.isAnswered || operation.deadline <= now || isBreakerOpen && !operation.isPatient
        }
        for operation in waiting where isOver(operation) {
            size -= operation.size
            if !operation.isAnswered { overdue.append(operation) }
        }
        waiting.removeAll(where: isOver)
        return overdue
    }

    /// When ``expire(at:)`` next has something to do. Deadlines are not in order: an operation that was returned to the
    /// queue has an older one, and a patient operation a later one.
    var nextDeadline: NIODeadline? {
        var next: NIODeadline?
        func take(_ operation: StoreOperation) {
            if !operation.isAnswered { next = min(next ?? operation.deadline, operation.deadline) }
        }
        for case .batch(let batch, _) in inFlight { batch.operations.forEach(take) }
        waiting.forEach(take)
        return next
    }

    /// Whether the server has been silent for so long that the connection must be closed.
    func isSilent(at now: NIODeadline) -> Bool {
        guard let first = inFlight.first else { return false }
        return now - max(first.time, lastHeard) > options.silence
    }

    /// The connection is gone. The caller fails everything that waited or was under way; none of it is sent again.
    mutating func close() -> (operations: [StoreOperation], controls: [Control]) {
        var operations = Array(waiting)
        var controls: [Control] = []
        for sent in inFlight {
            switch sent {
            case .batch(let batch, _): operations += batch.operations
            case .command(let control, _): controls.append(control)
            }
        }
        isUp = false
        waiting = CircularBuffer()
        inFlight = CircularBuffer()
        pacing.reset()
        size = 0
        return (operations, controls)
    }
}
