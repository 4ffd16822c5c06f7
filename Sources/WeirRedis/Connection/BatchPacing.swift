import NIOCore

/// Decides when the next batch goes to a server: now, or when more operations have gathered.
///
/// A call costs both ends as much as some twenty more operations in it do, so under load it pays to let operations
/// gather. With little load there is nothing to save, and a batch goes at once. The rules, in their order:
///
/// 1. At most ``Options/mostInFlight`` batches are in flight. Operations that arrive meanwhile wait for an answer.
/// 2. If the last batch went ``Options/gatheringTime`` ago, the network is slow, not the server: send.
/// 3. With fewer than ``Options/busy`` operations in flight, unless large batches follow each other closely: send.
/// 4. ``Options/gathering`` operations, or a full batch, are enough for a call of their own: send.
/// 5. Otherwise, gather until ``Options/gatheringTime`` after the last batch.
///
/// This is a value without locks or I/O; the time is passed in.
struct BatchPacing {
    struct Options: Sendable {
        /// The most batches in flight.
        var mostInFlight = 2
        /// The operations in flight from which on the next batch gathers. With fewer, an early answer is worth more.
        var busy = 8
        /// How many operations are enough to send.
        ///
        /// While batches of this size follow each other within ``gatheringTime``, the next one gathers even when
        /// nothing is in flight: as many operations are on their way again.
        var gathering = 24
        /// How long after the last batch operations gather.
        var gatheringTime = TimeAmount.milliseconds(1)
        /// Whether operations gather at all.
        var gathers = true

        /// - Parameters:
        ///   - deadline: how long a decision may take. Nobody checks the deadlines of operations that gather, so they
        ///     gather for a quarter of it at most.
        ///   - isCluster: whether a batch can only hold keys of one slot. Batches are small then: more of them are in
        ///     flight, and none waits for others.
        init(deadline: TimeAmount = .milliseconds(50), isCluster: Bool = false) {
            gatheringTime = min(gatheringTime, .nanoseconds(deadline.nanoseconds / 4))
            if isCluster {
                mostInFlight = 64
                gathers = false
            }
        }
    }

    /// What to do with the operations that wait.
    enum Step: Equatable {
        /// Send a batch.
        case send
        /// Let more operations gather.
        case gather(Gathering)
        /// Nothing can be sent before the next operation or the next answer.
        case wait
    }

    /// Until when operations may gather, so that nobody needs to look at each of them.
    struct Gathering: Equatable {
        var until: NIODeadline
        /// How many more are enough to send before that; 0 or less when there are enough already.
        var missing: Int

        /// Whether an operation may join the others without waking anybody.
        ///
        /// - Parameter count: how many have gathered since, this one included.
        func goesOn(with count: Int, at time: NIODeadline) -> Bool { time < until && count < missing }
    }

    let options: Options
    private var batchesInFlight = 0
    private var operationsInFlight = 0
    /// Whether the last batch was large, and soon after the one before.
    private var isFlowing = false
    private var lastSent = NIODeadline.uptimeNanoseconds(0)

    init(_ options: Options) {
        self.options = options
    }

    /// What to do now.
    ///
    /// - Parameters:
    ///   - count: how many operations wait.
    ///   - isFull: whether they fill a batch. Evaluated only when it matters, because it looks at each of them.
    ///   - mayGather: false to send what waits, such as to a server that has stopped answering in time.
    func step(
        waiting count: Int, isFull: @autoclosure () -> Bool, mayGather: Bool = true, at now: NIODeadline
    ) -> Step {
        let gathering = mayGather ? gathering(behind: count, at: now) : nil
        if count > 0, batchesInFlight < options.mostInFlight {
            guard let gathering, gathering.missing > 0, !isFull() else { return .send }
            return .gather(gathering)
        }
        return gathering.map { .gather($0) } ?? .wait
    }

    /// Until when operations may gather behind those that wait; nil when each must be looked at as it comes.
    private func gathering(behind count: Int, at now: NIODeadline) -> Gathering? {
        guard options.gathers, operationsInFlight >= options.busy || isFlowing else { return nil }
        let end = lastSent + options.gatheringTime
        return now < end ? Gathering(until: end, missing: options.gathering - count) : nil
    }

    /// A batch was sent; `count` is the number of its operations.
    mutating func sent(_ count: Int, at now: NIODeadline) {
        batchesInFlight += 1
        operationsInFlight += count
        // After a batch that gathered in vain, the next one doesn't.
        isFlowing = count >= options.gathering && now < lastSent + options.gatheringTime
        lastSent = now
    }

    /// A batch was answered; `count` is the number of its operations.
    mutating func answered(_ count: Int) {
        batchesInFlight -= 1
        operationsInFlight -= count
    }

    /// The connection is gone, and with it all that was in flight.
    mutating func reset() {
        batchesInFlight = 0
        operationsInFlight = 0
        isFlowing = false
    }
}
