import Weir

/// The Lua script that executes a batch of operations on one server, at one time of that server's clock.
///
/// The script decides and charges. Everything else in a decision is derived from the state in its answer, by the same
/// code as for memory (``RemoteState``). Lua numbers are doubles, so all numbers are whole and below 2^53: an instant
/// of a bucket has three parts, and products that would not fit are compared in halves. ``ScriptFormat`` describes the
/// arguments, the reply and the stored states.
///
/// Half of a call's cost on the server is the same for one operation as for many, and most of that was making functions
/// and tables. So the loop itself executes the commonest operations: charges of token buckets whose numbers are small.
/// The functions for all other operations (`uncommon`) are only made when one is needed.
enum OperationScript {
    typealias Head = ScriptFormat.Head
    typealias Limits = ScriptFormat.Limit
    typealias Kind = ScriptFormat.Kind
    typealias Operation = ScriptFormat.Operation
    typealias Code = ScriptFormat.OperationCode
    typealias Flag = ScriptFormat.Flag
    typealias Status = ScriptFormat.Status
    typealias State = ScriptFormat.State
    typealias LogEntry = ScriptFormat.LogEntry
    typealias Permits = ScriptFormat.Permits

    static let text = [
        opening, "uncommon = uncommon or (function()", limits, buckets, windows, log, permits, holds, requests,
        "end)()",
        closing,
    ].joined(separator: "\n")

    private static let opening = #"""
        local spread, call, unpack, pack, byte = unpack, redis.call, struct.unpack, struct.pack, string.byte
        local W = \#(1 << ScriptFormat.lowBits)
        local head, ops = ARGV[1], ARGV[2]
        local now, slack, lease = unpack('<\#(Head.fields)', head)
        if now < 0 then
          local t = call('TIME')
          now = t[1] * 1000000 + t[2]
        end

        local values = call('MGET', spread(KEYS))
        local out, place, k, pos = { pack('<\#(ScriptFormat.replyTime)', now) }, 1, 1, 1
        local limits, current, isSmall, n, fq, ff, mq = {}
        -- States, by key:
        -- 1 to 4: the algorithm's own values (a bucket: h, q, f, n); 5: the key; 6: the kind; 7: whether the key existed;
        -- 8 and 9: more of the algorithm's own (a bucket: the next q, and the request that set it);
        -- 10: the limit if the state must be written (a common bucket: true); 11: a bucket's next f.
        local states, dirty
        -- The states that a request will charge if its other charges pass too; where it began, and with which key.
        local pending, count, first, firstKey = nil, 0, 1, 1
        -- Whether the current request is decided in the general way.
        local isGeneral = false
        local uncommon
        while pos <= #ops do
          local code, flags, low, high = byte(ops, pos, pos + \#(Operation.headLength - 1))
          local index = high * 256 + low
          if index ~= current then
            local l = limits[index]
            if not l then
              l = { unpack('<\#(Limits.commonFields)', head, \#(Head.length + 1) + index * \#(Limits.length)) }
              limits[index] = l
            end
            current, isSmall, n, fq, ff, mq = index, l[1] == \#(Limits.small) and now < W, l[2], l[3], l[4], l[5]
          end
          -- A run: several new keys, each a token bucket of the same numbers and cost. The keys of a run are written as
          -- they are decided. Others, which may repeat, are written when all operations are decided.
          local isRun, length, after = flags % \#(2 * Flag.run) >= \#(Flag.run), 1, pos + \#(Operation.plainBucketLength)
          local cost, cq, cf, step, lives
          -- Common: a plain charge, the last of its request or not.
          local isCommon = isSmall and code == \#(Code.decide.rawValue) and not isGeneral and flags < \#(Flag.countsHolds)
            and (flags % \#(Flag.run) == \#(Flag.plain | Flag.last) or flags % \#(Flag.run) == \#(Flag.plain))
          if isRun then
            cost, cq, cf, length, after = unpack(
              '<\#(Operation.cost)\#(Operation.costTicks)\#(Operation.runLength)', ops, pos + \#(Operation.headLength))
            -- Round up times to live, so that few of them must be turned into text.
            if length > 1 then
              step, lives = fq / 16, {}
              step = step < 64000 and 64000 or step - step % 1000 + 1000
            end
          elseif isCommon then
            cost, cq, cf = unpack('<\#(Operation.cost)\#(Operation.costTicks)', ops, pos + \#(Operation.headLength))
            isCommon = cost > 0
          end
          local last = k + length - 1
          while k <= last do
            -- Go on until one is denied or out of the ordinary.
            while isCommon and k <= last do
              local key, value = KEYS[k], values[k]
              local s, q, f = states and states[key], 0, 0
              if s then
                -- Another charge of this request may be on the same key.
                if s[6] ~= \#(Kind.tokenBucket.rawValue) or s[4] ~= n or s[1] ~= 0 or count > 0 and s[9] == first then break end
                q, f = s[2], s[3]
              else
                -- The key may have come up before in this call, and been written.
                if flags >= \#(Flag.seen) then
                  value = redis.pcall('GET', key)
                  value = type(value) == 'string' and value
                  values[k] = value
                end
                -- A stored bucket without a remainder is shorter.
                if value then
                  local version, m
                  if #value == \#(State.wholeBucket.length) then
                    version, q = unpack(\#(State.wholeBucket.unpackingWhole), value)
                    if version ~= \#(State.wholeBucket.rawValue) or not (q >= 0) then break end
                  elseif #value == \#(State.bucket.length) then
                    version, q, f, m = unpack(\#(State.bucket.unpackingWhole), value)
                    if version ~= \#(State.bucket.rawValue) or not (q >= 0) or m ~= n or f >= n then break end
                  else
                    break
                  end
                end
              end
              local uq, uf = q - now, f
              if uq < 0 then uq, uf = 0, 0 end
              local aq, af = uq + cq, uf + cf
              if af >= n then aq, af = aq + 1, af - n end
              if uq >= mq or aq > fq or aq == fq and af > ff then break end
              if isRun then
                place = place + 1
                -- Answer with the stored state before the charge; what is left is derived from it.
                out[place] = value or '\\#(State.wholeBucket.rawValue)\0\0\0\0\0\0\0\0'
                local life = aq - aq % (step or 1000)
                if step then
                  local text = lives[life] or string.format('%.0f', (life + step) / 1000 + 1 + slack)
                  lives[life], life = text, text
                else
                  life = life / 1000 + 2 + slack
                end
                q = now + aq
                call('PSETEX', key, life, af == 0 and pack(\#(State.wholeBucket.packing), q) or pack(\#(State.bucket.packing), q, af, n))
              else
                if not s then
                  s = { 0, q, f, n, key, 0, value and true, 0, false, false, 0 }
                  if not states then states, dirty, pending = {}, {}, {} end
                  states[key] = s
                end
                if count == 0 and flags % \#(Flag.run) == \#(Flag.plain | Flag.last) then
                  -- The only charge of its request: nothing to wait for.
                  place = place + 1
                  out[place] = f == 0 and pack(\#(State.wholeBucket.packing), q) or pack(\#(State.bucket.packing), q, f, n)
                  s[2], s[3] = now + aq, af
                  if not s[10] then dirty[#dirty + 1], s[10] = s, true end
                else
                  if count == 0 then first, firstKey = pos, k end
                  count = count + 1
                  pending[count], s[8], s[9], s[11] = s, now + aq, first, af
                  if flags % \#(Flag.run) == \#(Flag.plain | Flag.last) then
                    for i = 1, count do
                      s = pending[i]
                      q, f = s[2], s[3]
                      out[place + i] = f == 0 and pack(\#(State.wholeBucket.packing), q) or pack(\#(State.bucket.packing), q, f, s[4])
                      s[2], s[3] = s[8], s[11]
                      if not s[10] then dirty[#dirty + 1], s[10] = s, true end
                    end
                    place, count = place + count, 0
                  end
                end
              end
              k = k + 1
            end
            if k <= last then
              if count > 0 then
                -- The charges of a request are decided together, so all of them go the general way, from the first.
                after, k, count, isGeneral = first, firstKey, 0, true
                break
              end
              if not states then states, dirty, pending = {}, {}, {} end
        """#

    /// Helpers for all operations that are out of the ordinary, with limits as tables.
    private static let limits = #"""
        local pcall, floor, ceil, min, max, fmod =
        redis.pcall, math.floor, math.ceil, math.min, math.max, math.fmod
        local nowh = floor(now / W)
        local nowq = now - nowh * W

        -- A limit: its count n, full (fh, fq, ff), most (mh, mq, mf), kind, align, period p, longest wait, and the
        -- furthest that debt may reach (dh, dq, df).
        local function limit(index)
          local l = limits[index]
          if not l.n then
            l.n, l.fq, l.ff, l.mq = l[2], l[3], l[4], l[5]
            l.kind, l.align, l.p, l.fh, l.mh, l.mf, l.wait, l.dh, l.dq, l.df = unpack('<\#(Limits.otherFields)', head, \#(Head.length + Limits.commonLength + 1) + index * \#(Limits.length))
          end
          return l
        end
        local function changed(l, s)
          if not s[10] then dirty[#dirty + 1] = s end
          s[10] = l
        end
        -- The charges of a request so far, and whether all of them pass.
        local request, count, passes = {}, 0, true
        """#

    private static let requests = #"""
        local kinds = {}
        local function kind_of(number)
          local kind = kinds[number] or make[number]()
          kinds[number] = kind
          return kind
        end

        local function state(l, kind, index)
          local key = KEYS[index]
          local s = states[key]
          if not s or s[6] ~= l.kind then
            s = { 0, 0, 0, false, key, l.kind, values[index] and true, 0, false, false }
            kind.load(l, s, values[index])
            states[key] = s
          end
          if kind.settle(l, s) and s[7] and not kind.writes then changed(l, s) end
          return s
        end

        -- Whether a charge passes, with all units that other requests hold.
        local function allows(o)
          if o.holds then count_holds(o.l, o, o.holds[1]) end
          return o.kind.allows(o.l, o.s, o)
        end

        -- Executes the operation at a position, for the next key. Returns the position of the next operation.
        local function execute(pos, code, flags, index)
          if flags % \#(2 * Flag.seen) >= \#(Flag.seen) and not states[KEYS[k]] then
            local value = pcall('GET', KEYS[k])
            values[k] = type(value) == 'string' and value
          end
          local countsHolds, isHold = flags % \#(2 * Int(Flag.countsHolds)) >= \#(Flag.countsHolds), flags >= \#(Flag.hold)
          flags = flags % \#(Flag.run)
          local l = limit(index)
          local kind = kind_of(l.kind)
          local o = {}
          o.cost, pos = unpack('<\#(Operation.cost)', ops, pos + \#(Operation.headLength))
          o.required = o.cost
          if l.kind <= \#(Kind.lastBucket.rawValue) then
            o.ch = 0
            o.cq, o.cf, pos = unpack('<\#(Operation.costTicks)', ops, pos)
            o.rh, o.rq, o.rf = 0, o.cq, o.cf
          end
          -- A plain operation has no more fields.
          if flags < \#(Flag.plain) then
            o.required, pos = unpack('<\#(Operation.required)', ops, pos)
            if l.kind <= \#(Kind.lastBucket.rawValue) then o.ch, o.rh, o.rq, o.rf, pos = unpack('<\#(Operation.moreTicks)', ops, pos) end
          end
          flags = flags % \#(Flag.plain)
          if code == \#(Code.decide.rawValue) then
            if isHold or l.kind == \#(Kind.concurrency.rawValue) then o.id, pos = unpack('<\#(Operation.name)', ops, pos) end
            local s = state(l, kind, k)
            o.s, o.l, o.kind, o.isHold = s, l, kind, isHold
            if countsHolds then
              k = k + 1
              o.holds = holds_of(KEYS[k])
              end_leases(l, s, kind, o.holds)
            end
            local allowed = allows(o)
            o.allowed, o.penalizes = allowed, flags % \#(2 * Flag.countsDenied) >= \#(Flag.countsDenied)
            if not allowed and flags % \#(2 * Flag.shadow) == 0 then passes = false end
            count = count + 1
            request[count] = o
            k = k + 1
            if flags >= \#(Flag.last) then
              for i = 1, count do
                local o = request[i]
                local s, l, kind, status = o.s, o.l, o.kind, 0
                -- Another charge of this request may have been on the same key.
                if s[9] == request[1] then o.allowed = allows(o) end
                s[9] = request[1]
                if o.allowed then
                  status = \#(Status.allowed)
                elseif o.penalizes and o.cost > 0 then
                  kind.penalize(l, s, o)
                  if not kind.writes then changed(l, s) end
                  allows(o)
                elseif not s[10] and call('PTTL', s[5]) == -1 then
                  expire(s[5], kind.left(l, s))
                end
                if o.holds and not o.allowed then shorten_leases(o.holds) end
                local a, b, c, held = s[1], s[2], s[3], o.holds and o.holds[1]
                if status == \#(Status.allowed) and passes and o.cost > 0 then
                  status = \#(Status.allowed | Status.charged)
                  if o.isHold then
                    hold(l, o.holds, o.id, o.cost)
                  else
                    kind.charge(l, s, o)
                    if not kind.writes then changed(l, s) end
                  end
                end
                out[#out + 1] = pack('<B\#(Status.fields)', \#(Status.answer) + status, a, b, c)
                  .. (held and pack('<\#(Status.held)', held) or '')
              end
              count, passes = 0, true
            end
          elseif code == \#(Code.debit.rawValue) then
            local s = state(l, kind, k)
            out[#out + 1] = pack('<B\#(Status.fields)', \#(Status.answer | Status.allowed), s[1], s[2], s[3])
            kind.debit(l, s, o)
            if not kind.writes then changed(l, s) end
            k = k + 1
          elseif code == \#(Code.refund.rawValue) then
            o.time, o.delay, o.id, pos = unpack('<\#(Operation.receipt)', ops, pos)
            local s, done
            if l.kind == \#(Kind.concurrency.rawValue) then
              s = state(l, kind, k)
              done = kind.refund(l, s, o)
            elseif now - o.time <= \#(Receipt.life) then
              local reset = call('GET', KEYS[k + 2])
              if not (reset and o.time <= tonumber(reset)) and call('SET', KEYS[k + 1], 1, 'NX', 'PX', \#(ScriptFormat.markLife) + slack) then
                s = state(l, kind, k)
                done = kind.refund(l, s, o)
              end
            end
            if done and not kind.writes then changed(l, s) end
            out[#out + 1] = pack('<B\#(Status.fields)', done and \#(Status.answer | Status.allowed) or \#(Status.answer), 0, 0, 0)
            k = k + 3
          elseif code == \#(Code.reset.rawValue) then
            local s = state(l, kind, k)
            local had = kind.left(l, s) > 0
            call('DEL', s[5])
            call('SET', KEYS[k + 1], string.format('%.0f', now), 'PX', \#(ScriptFormat.markLife) + slack)
            states[s[5]], s[6] = nil, -1
            out[#out + 1] = pack('<B\#(Status.fields)', had and \#(Status.answer | Status.allowed) or \#(Status.answer), 0, 0, 0)
            k = k + 2
          elseif code == \#(Code.settle.rawValue) then
            local units
            o.id, units, pos = unpack('<\#(Operation.hold)', ops, pos)
            local holds = holds_of(KEYS[k + 1])
            local done, charged = release(l, holds, o.id, units)
            if done then
              local s = state(l, kind, k)
              end_leases(l, s, kind, holds)
              if charged > 0 then
                o.cost = max(0, o.cost - charged)
                if l.kind <= \#(Kind.lastBucket.rawValue) then o.ch, o.cq, o.cf = worth(l, min(o.cost, \#(ScriptFormat.mostHeld))) end
              end
              kind.debit(l, s, o)
              if not kind.writes then changed(l, s) end
            end
            out[#out + 1] = pack('<B\#(Status.fields)', done and \#(Status.answer | Status.allowed) or \#(Status.answer), 0, 0, 0)
            k = k + 2
          elseif code == \#(Code.credit.rawValue) then
            local s = state(l, kind, k)
            local done = o.cost > 0 and kind.credit(l, s, o)
            if done and not kind.writes then changed(l, s) end
            out[#out + 1] = pack('<B\#(Status.fields)', done and \#(Status.answer | Status.allowed) or \#(Status.answer), 0, 0, 0)
            k = k + 1
          else
            o.id, pos = unpack('<\#(Operation.name)', ops, pos)
            if l.kind == \#(Kind.concurrency.rawValue) then
              kind.renew(l, state(l, kind, k), o)
            else
              k = k + 1
              hold(l, holds_of(KEYS[k]), o.id, o.cost)
            end
            out[#out + 1] = pack('<B\#(Status.fields)', \#(Status.answer | Status.allowed), 0, 0, 0)
            k = k + 1
          end
          return pos
        end
        local function write(s)
          -- A state that was reset has no kind.
          if s[6] < 0 then return end
          local l, kind = s[10], kind_of(s[6])
          local left = kind.left(l, s)
          -- A state that has recovered is kept for the slack, in case the clock goes back.
          if left > 0 or s[7] then
            call('PSETEX', s[5], min(floor(max(0, left) / 1000) + 1 + slack, 9007199254740), kind.save(l, s))
          end
        end
        return { execute = execute, write = write }
        """#

    private static let closing = #"""
              local next = uncommon.execute(pos, code, flags, index)
              if not isRun then after = next end
              place, isGeneral = #out, code == \#(Code.decide.rawValue) and flags % \#(Flag.plain) < \#(Flag.last)
            end
          end
          pos = after
        end

        for i = 1, dirty and #dirty or 0 do
          local s = dirty[i]
          if s[10] == true and s[6] == \#(Kind.tokenBucket.rawValue) and s[1] == 0 then
            -- A state that was last charged in the common way is ahead of now.
            local left, q, f = s[2] - now, s[2], s[3]
            call('PSETEX', s[5], (left - left % 1000) / 1000 + 2 + slack,
              f == 0 and pack(\#(State.wholeBucket.packing), q) or pack(\#(State.bucket.packing), q, f, s[4]))
          elseif uncommon then
            uncommon.write(s)
          end
        end
        return table.concat(out)
        """#
}
