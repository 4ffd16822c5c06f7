import NIOCore
import Weir

/// Work for the server, with the answer that a caller waits for.
///
/// From the moment it is submitted, an operation belongs to the event loop of its node.
final class StoreOperation: @unchecked Sendable {
    // Sendable, because it is handed over to a node's event loop once, and only used there afterwards.
    enum Work {
        /// Decides the charges of one request together. `id` names the first, and the numbers after it name the others.
        case decide([Charge], id: UInt64, PendingAnswer<DecisionResult>?)
        // The others are indirect: the enum is copied often, and it is as large as its largest case.
        indirect case debit(Charge, PendingAnswer<Result<Bool, StoreError>>?)
        indirect case refund(Charge, Receipt, PendingAnswer<Result<Bool, StoreError>>?)
        indirect case reset(LimitNumbers, Key, PendingAnswer<Result<Bool, StoreError>>?)
        /// Ends the hold of a charge and charges its actual cost.
        indirect case settle(Charge, Receipt, actual: Int64, PendingAnswer<Result<Bool, StoreError>>?)
        indirect case credit(Charge, PendingAnswer<Result<Bool, StoreError>>?)
        /// Extends the lease of a permit or a hold.
        indirect case renew(Charge, id: UInt64)
    }

    let work: Work
    let submitted: NIODeadline
    let deadline: NIODeadline
    /// Whether the caller has its answer or failure.
    private(set) var isAnswered = false
    /// Whether it may wait while the breaker is open: it gives something back, and no caller waits for it.
    var isPatient = false
    /// Whether to send an ASKING first, because the slot doesn't belong to the server yet.
    var isAsking = false

    init(_ work: Work, submitted: NIODeadline, deadline: NIODeadline) {
        self.work = work
        self.submitted = submitted
        self.deadline = deadline
    }

    /// How many places of a batch it takes.
    var size: Int {
        if case .decide(let charges, _, _) = work { charges.count } else { 1 }
    }

    var partition: UInt64 {
        switch work {
        case .decide(let charges, _, _): charges[0].key.partition
        case .debit(let charge, _), .refund(let charge, _, _), .renew(let charge, id: _), .credit(let charge, _),
            .settle(let charge, _, actual: _, _):
            charge.key.partition
        case .reset(_, let key, _): key.partition
        }
    }

    func fail(_ failure: StoreError) {
        guard !isAnswered else { return }
        isAnswered = true
        switch work {
        case .decide(_, _, let answer): answer?.complete(.failure(failure))
        case .debit(_, let answer), .refund(_, _, let answer), .reset(_, _, let answer), .credit(_, let answer),
            .settle(_, _, actual: _, let answer):
            answer?.complete(.failure(failure))
        case .renew: break
        }
    }

    func succeed(_ outcome: Outcome) {
        guard !isAnswered else { return }
        isAnswered = true
        switch (work, outcome) {
        case (.decide(_, _, let answer), .decisions(let decisions)): answer?.complete(.success(decisions))
        case (.debit(_, let answer), .changed(let changed)), (.refund(_, _, let answer), .changed(let changed)),
            (.reset(_, _, let answer), .changed(let changed)), (.credit(_, let answer), .changed(let changed)),
            (.settle(_, _, actual: _, let answer), .changed(let changed)):
            answer?.complete(.success(changed))
        default: break
        }
    }

    /// The name of one of a request's charges, from 1 to 2^63 - 1.
    static func id(_ first: UInt64, _ index: Int) -> UInt64 { max(1, (first &+ UInt64(index)) & ~(1 << 63)) }

    enum Outcome {
        case decisions([Decision])
        case changed(Bool)
    }
}
