/// Numbered places for states. Free places are reused.
struct Shelf<State> {
    private var places: [State] = []
    private var free: [Int] = []
    private let empty: State

    init(empty: State) {
        self.empty = empty
    }

    /// Takes a state out, so that changing it makes no copy. The caller must put it back or remove its place.
    mutating func take(_ index: Int) -> State {
        var state = empty
        swap(&state, &places[index])
        return state
    }

    /// Puts a state at its place, or at a new one when `index` is nil. Returns the place.
    mutating func put(_ state: consuming State, at index: Int?) -> Int {
        if let index = index ?? free.popLast() {
            places[index] = state
            return index
        }
        places.append(state)
        return places.count - 1
    }

    mutating func remove(_ index: Int) {
        if free.count + 1 == places.count {
            self = Shelf(empty: empty)
            return
        }
        places[index] = empty
        free.append(index)
    }
}
