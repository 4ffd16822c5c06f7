/// The script that executes a batch of operations on one server, at one time of that server's clock.
///
/// It decides and charges; everything that a decision says beyond that is worked out from the state in its answer, by the
/// same code as for memory (``RemoteState``). Numbers are doubles, so all are whole and below 2^53: instants of a bucket
/// are three of them (2^52 ticks, ticks, and a remainder in units of 1/n tick), and products that would not fit are
/// compared in two halves.
///
/// `KEYS`: one for each operation; a refund brings two more (its receipt's mark, the key's mark of a reset), a reset one.
/// `ARGV`: the time in microseconds, or nothing for the server's; milliseconds that a key outlives its use; microseconds
/// of a permit's lease; the limits; the operations. ``Batch`` packs them.
enum OperationScript {
    static let text = [
        arguments, "local function general()", buckets, windows, log, permits, requests, "end", busyKeys, batch,
    ].joined(separator: "\n")

    private static let arguments = #"""
        local spread = unpack
        local call, pcall, unpack, pack = redis.call, redis.pcall, struct.unpack, struct.pack
        local byte, floor, ceil, min, max, fmod = string.byte, math.floor, math.ceil, math.min, math.max, math.fmod
        local W = 4503599627370496
        local now, slack, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
        if not now then
          local t = call('TIME')
          now = t[1] * 1000000 + t[2]
        end
        local nowh = floor(now / W)
        local nowq = now - nowh * W

        -- Limits: kind, align, count, period, full (h, q, f), most (h, q, f), longest wait, and whether spans fit in q.
        local limits, blob, pos = {}, ARGV[4], 1
        while pos <= #blob do
          local l = {}
          l.kind, l.align, l.n, l.p, l.fh, l.fq, l.ff, l.mh, l.mq, l.mf, l.wait, pos =
          unpack('<BBI4dddI4ddI4d', blob, pos)
          l.small = l.kind == 0 and l.mh == 0 and l.mq < W / 2 and nowh == 0
          limits[#limits + 1] = l
        end

        local values = call('MGET', spread(KEYS))
        -- States, by key: four values of the algorithm's own (a bucket: h, q, f, n), the key, the kind, whether the key was
        -- there, two more of the algorithm's own, and the limit when it is to be written.
        local states, dirty = {}, {}
        local function changed(l, s)
          if not s[10] then dirty[#dirty + 1] = s end
          s[10] = l
        end
        local out, ops, k = { pack('<d', now) }, ARGV[5], 1
        -- The charges of a request that were seen so far, and whether all pass.
        local request, count, passes = {}, 0, true
        """#

    /// What a call needs only for what is out of the ordinary: to make these functions takes longer than a decision.
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

        -- Executes the operation at a position, for the next key. Returns the next operation's position.
        local function execute(pos, code, flags, l)
          local kind = kind_of(l.kind)
          local o = {}
          o.cost, pos = unpack('<I4', ops, pos + 4)
          o.required = o.cost
          if l.kind <= 1 then
            o.ch = 0
            o.cq, o.cf, pos = unpack('<dI4', ops, pos)
            o.rh, o.rq, o.rf = 0, o.cq, o.cf
          end
          -- Bit 3: nothing more is needed, and spans are below 2^52 ticks.
          if flags % 16 < 8 then
            o.required, pos = unpack('<I4', ops, pos)
            if l.kind <= 1 then o.ch, o.rh, o.rq, o.rf, pos = unpack('<dddI4', ops, pos) end
          end
          flags = flags % 8
          if code == 0 then
            if l.kind == 5 then o.id, pos = unpack('<c8', ops, pos) end
            local s = state(l, kind, k)
            local allowed = kind.allows(l, s, o)
            o.s, o.l, o.kind, o.allowed, o.penalizes = s, l, kind, allowed, flags % 4 >= 2
            if not allowed and flags % 2 == 0 then passes = false end
            count = count + 1
            request[count] = o
            k = k + 1
            if flags >= 4 then
              for i = 1, count do
                local o = request[i]
                local s, l, kind, status = o.s, o.l, o.kind, 0
                -- Another charge of this request may have been on the same key.
                if s[9] == request[1] then o.allowed = kind.allows(l, s, o) end
                s[9] = request[1]
                if o.allowed then
                  status = 1
                elseif o.penalizes and o.cost > 0 then
                  kind.penalize(l, s, o)
                  if not kind.writes then changed(l, s) end
                  kind.allows(l, s, o)
                elseif not s[10] and call('PTTL', s[5]) == -1 then
                  expire(s[5], kind.left(l, s))
                end
                local a, b, c = s[1], s[2], s[3]
                if status == 1 and passes and o.cost > 0 then
                  status = 3
                  kind.charge(l, s, o)
                  if not kind.writes then changed(l, s) end
                end
                out[#out + 1] = pack('<Bddd', 8 + status, a, b, c)
              end
              count, passes = 0, true
            end
          elseif code == 1 then
            local s = state(l, kind, k)
            out[#out + 1] = pack('<Bddd', 9, s[1], s[2], s[3])
            kind.debit(l, s, o)
            if not kind.writes then changed(l, s) end
            k = k + 1
          elseif code == 2 then
            o.time, o.delay, o.id, pos = unpack('<ddc8', ops, pos)
            local s, done = state(l, kind, k), false
            if l.kind == 5 then
              done = kind.refund(l, s, o)
            elseif now - o.time <= 60000000 then
              local reset = call('GET', KEYS[k + 2])
              if not (reset and o.time <= tonumber(reset)) and call('SET', KEYS[k + 1], 1, 'NX', 'PX', 60000 + slack) then
                done = kind.refund(l, s, o)
              end
            end
            if done and not kind.writes then changed(l, s) end
            out[#out + 1] = pack('<Bddd', done and 9 or 8, 0, 0, 0)
            k = k + 3
          elseif code == 3 then
            local s = state(l, kind, k)
            local had = kind.left(l, s) > 0
            call('DEL', s[5])
            call('SET', KEYS[k + 1], string.format('%.0f', now), 'PX', 60000 + slack)
            states[s[5]], s[6] = nil, -1
            out[#out + 1] = pack('<Bddd', had and 9 or 8, 0, 0, 0)
            k = k + 2
          else
            o.id, pos = unpack('<c8', ops, pos)
            kind.renew(l, state(l, kind, k), o)
            out[#out + 1] = pack('<Bddd', 9, 0, 0, 0)
            k = k + 1
          end
          return pos
        end
        local function write(s)
          -- What was reset meanwhile has no kind.
          if s[6] < 0 then return end
          local l, kind = s[10], kind_of(s[6])
          local left = kind.left(l, s)
          -- What has recovered is kept for the slack, in case the clock goes back.
          if left > 0 or s[7] then
            call('PSETEX', s[5], min(floor(max(0, left) / 1000) + 1 + slack, 9007199254740), kind.save(l, s))
          end
        end
        return { execute = execute, write = write }
        """#

    /// The commonest operations, in few steps: those about a token bucket, most of which divide evenly.
    private static let busyKeys = #"""
        -- How a bucket is kept: nine bytes lie in less room than seventeen. Nothing when it isn't kept so.
        local function kept(value, n)
          local version, q, f, m
          if #value == 9 then
            version, q = unpack('<Bd', value)
            if version == 6 and q >= 0 then return q, 0 end
          elseif #value == 17 then
            version, q, f, m = unpack('<BdI4I4', value)
            if version == 1 and q >= 0 and m == n and f < n then return q, f end
          end
        end
        local function keep(key, life, q, f, n)
          call('PSETEX', key, life, f == 0 and pack('<Bd', 6, q) or pack('<BdI4I4', 1, q, f, n))
        end

        -- A token bucket whose cost is all that it needs. Returns nothing when it is denied, or out of the ordinary.
        local function charge(pos, l)
          local key = KEYS[k]
          local s, q, f = states[key]
          if s then
            if s[6] ~= 0 or s[4] ~= l.n or s[1] ~= 0 then return end
            q, f = s[2], s[3]
          else
            q, f = 0, 0
            if values[k] then q, f = kept(values[k], l.n) end
            if not q then return end
          end
          local cost, cq, cf, after = unpack('<I4dI4', ops, pos + 4)
          local uq, uf = q - now, f
          if uq < 0 then uq, uf = 0, 0 end
          local aq, af = uq + cq, uf + cf
          if af >= l.n then aq, af = aq + 1, af - l.n end
          if cost > 0 and uq < l.mq and (aq < l.fq or aq == l.fq and af <= l.ff) then
            if s then
              s[2], s[3] = now + aq, af
            else
              s = { 0, now + aq, af, l.n, key, 0, values[k] and true, 0, false, false }
              states[key] = s
            end
            changed(l, s)
            out[#out + 1] = f == 0 and pack('<Bd', 6, q) or pack('<BdI4I4', 1, q, f, l.n)
            k = k + 1
            return after
          end
        end

        local uncommon
        local function execute(pos, code, flags, l)
          -- Bit 5: the key may have come up before in this call, and been written.
          if flags >= 32 and not states[KEYS[k]] then
            local value = pcall('GET', KEYS[k])
            values[k] = type(value) == 'string' and value
          end
          if flags % 16 == 12 and code == 0 and count == 0 and l.small then
            local after = charge(pos, l)
            if after then return after end
          end
          uncommon = uncommon or general()
          return uncommon.execute(pos, code, flags % 16, l)
        end
        """#

    private static let batch = #"""
        -- So many keys that come up for the first time, each a token bucket of the same numbers and cost.
        local function run(l, pos, length)
          local cost, cq, cf = unpack('<I4dI4', ops, pos + 4)
          local n, fq, ff, mq, place, at = l.n, l.fq, l.ff, l.mq, #out, k
          local keys, values, kept, keep, now = KEYS, values, kept, keep, now
          local unused = pack('<Bd', 6, 0)
          -- Times to live are rounded up, so that few of them must be made texts of.
          local step, lives = ceil(max(64000, fq / 16) / 1000) * 1000, {}
          for at = at, at + length - 1 do
            local value = values[at]
            local q, f = 0, 0
            if value then q, f = kept(value, n) end
            local uq, uf = (q or now + mq) - now, f or 0
            if uq < 0 then uq, uf = 0, 0 end
            local aq, af = uq + cq, uf + cf
            if af >= n then aq, af = aq + 1, af - n end
            if uq < mq and (aq < fq or aq == fq and af <= ff) then
              local floored = aq - aq % step
              local life = lives[floored]
              if not life then
                life = string.format('%.0f', (floored + step) / 1000 + 1 + slack)
                lives[floored] = life
              end
              keep(keys[at], life, now + aq, af, n)
              place = place + 1
              -- The state before it, as it is kept: what is left is worked out from it.
              out[place] = value or unused
            else
              k = at
              execute(pos, 0, 12, l)
              place = #out
            end
          end
          k = at + length
        end

        pos = 1
        while pos <= #ops do
          local code, flags, index, hundreds = byte(ops, pos, pos + 3)
          local l = limits[hundreds * 256 + index + 1]
          -- Bit 4: one operation for so many keys.
          if flags % 32 >= 16 then
            local length = unpack('<I2', ops, pos + 20)
            if l.small then
              run(l, pos, length)
            else
              for i = 1, length do execute(pos, code, flags, l) end
            end
            pos = pos + 22
          else
            pos = execute(pos, code, flags, l)
          end
        end

        for i = 1, #dirty do
          local s = dirty[i]
          if uncommon then
            uncommon.write(s)
          else
            -- What was charged here is ahead of now.
            keep(s[5], floor((s[2] - now) / 1000) + 2 + slack, s[2], s[3], s[4])
          end
        end
        return table.concat(out)
        """#
}
