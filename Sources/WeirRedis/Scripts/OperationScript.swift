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
    static let text = #"""
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
          l.small = l.kind == 0 and l.mh == 0 and l.mq < W / 2
          limits[#limits + 1] = l
        end

        local values = call('MGET', spread(KEYS))
        -- States, by key: four values of the algorithm's own (a bucket: h, q, f, n), the key, the kind, whether the key was
        -- there, two more of the algorithm's own, and the limit when it is to be written.
        local states, dirty = {}, {}

        -- Instants and spans of a bucket: h * 2^52 + q ticks and f / n of a tick.
        local function add(n, h, q, f, h2, q2, f2)
          f = f + f2
          if f >= n then f = f - n; q = q + 1 end
          q = q + q2
          if q >= W then q = q - W; h = h + 1 end
          return h + h2, q, f
        end
        local function above(h, q, f, h2, q2, f2)
          if h ~= h2 then return h > h2 end
          if q ~= q2 then return q > q2 end
          return f > f2
        end
        local function ahead(s)
          local h, q = s[1] - nowh, s[2] - nowq
          if q < 0 then q = q + W; h = h - 1 end
          if h < 0 then return 0, 0, 0 end
          return h, q, s[3]
        end
        local function set(s, n, h, q, f)
          s[1], s[2], s[3] = add(n, nowh, nowq, 0, h, q, f)
          s[4] = n
        end
        -- f * m / n, rounded up, exactly: f, m, n < 2^30.
        local function rescale(f, m, n)
          local f1 = floor(f / 32768)
          local a = f1 * m
          local q1 = floor(a / n)
          local b = (a - q1 * n) * 32768 + (f - f1 * 32768) * m
          return q1 * 32768 + ceil(b / n)
        end
        -- Whether a * b > c * d, exactly: a, c < 2^30, b, d < 2^45.
        local function exceeds(a, b, c, d)
          local x, y = a * b, c * d
          if x < 9007199254740992 and y < 9007199254740992 then return x > y end
          local b1, d1 = floor(b / 4194304), floor(d / 4194304)
          local xl, yl = a * (b - b1 * 4194304), c * (d - d1 * 4194304)
          local xh, yh = a * b1 + floor(xl / 4194304), c * d1 + floor(yl / 4194304)
          if xh ~= yh then return xh > yh end
          return xl % 4194304 > yl % 4194304
        end
        local function window_end(p) return now - fmod(now, p) + p end

        local function bucket_add(l, s, o, h, q, f)
          local uh, uq, uf = ahead(s)
          local ah, aq, af = add(l.n, uh, uq, uf, o.ch, o.cq, o.cf)
          if above(ah, aq, af, h, q, f) then ah, aq, af = h, q, f end
          if above(ah, aq, af, uh, uq, uf) then set(s, l.n, ah, aq, af) end
        end

        local make = {}
        make[0] = function() return {
            load = function(l, s, v)
              if v and byte(v, 1) == 6 and #v == 9 then
                s[1], s[2], s[3], s[4] = 0, (unpack('<d', v, 2)), 0, l.n
              elseif v and byte(v, 1) == 1 and #v == 17 then
                s[1], s[2], s[3], s[4] = 0, unpack('<dI4I4', v, 2)
              elseif v and byte(v, 1) == 2 and #v == 25 then
                s[1], s[2], s[3], s[4] = unpack('<ddI4I4', v, 2)
              end
              if not s[4] or s[1] ~= s[1] or s[2] ~= s[2] or s[3] >= s[4] then s[1], s[2], s[3], s[4] = 0, 0, 0, l.n end
              if s[2] >= W then
                local over = floor(s[2] / W)
                s[1], s[2] = s[1] + over, s[2] - over * W
              end
            end,
            -- Whether anything but the passing of time has changed it: then it is written, as in memory.
            settle = function(l, s)
              local rescaled = s[4] ~= l.n
              if rescaled then
                s[1], s[2], s[3] = add(l.n, s[1], s[2], rescale(s[3], l.n, s[4]), 0, 0, 0)
                s[4] = l.n
              end
              local h, q, f = ahead(s)
              if not above(h, q, f, l.mh, l.mq, l.mf) then return rescaled end
              set(s, l.n, l.mh, l.mq, l.mf)
              return true
            end,
            allows = function(l, s, o)
              local h, q, f = ahead(s)
              h, q, f = add(l.n, h, q, f, o.rh, o.rq, o.rf)
              return not above(h, q, f, l.fh, l.fq, l.ff)
            end,
            charge = function(l, s, o)
              local h, q, f = ahead(s)
              set(s, l.n, add(l.n, h, q, f, o.ch, o.cq, o.cf))
            end,
            penalize = function(l, s, o) bucket_add(l, s, o, l.fh, l.fq, l.ff) end,
            debit = function(l, s, o) bucket_add(l, s, o, l.mh, l.mq, l.mf) end,
            refund = function(l, s, o)
              local h, q, f = ahead(s)
              if h == 0 and q == 0 and f == 0 then return false end
              if above(o.ch, o.cq, o.cf, h, q, f) then
                set(s, l.n, 0, 0, 0)
              else
                f = f - o.cf
                if f < 0 then f = f + l.n; q = q - 1 end
                q = q - o.cq
                if q < 0 then q = q + W; h = h - 1 end
                set(s, l.n, h - o.ch, q, f)
              end
              return true
            end,
            left = function(l, s)
              local h, q, f = ahead(s)
              if f > 0 then q = q + 1 end
              return h * W + q
            end,
            -- Most rates divide evenly: nine bytes are kept in less room than seventeen.
            save = function(l, s)
              if s[1] == 0 and s[3] == 0 then return pack('<Bd', 6, s[2]) end
              if s[1] == 0 then return pack('<BdI4I4', 1, s[2], s[3], s[4]) end
              return pack('<BddI4I4', 2, s[1], s[2], s[3], s[4])
            end,
        } end

        make[1] = function()
          local leaky = make[0]()
          leaky.allows = function(l, s, o)
            if o.required > l.n then return false end
            local h, q, f = ahead(s)
            if o.required == 0 then return not above(h, q, f, 0, l.fq + l.wait, 0) end
            return not above(h, q, f, 0, l.wait, 0)
          end
          leaky.refund = function(l, s, o)
            local h, q, f = s[1], s[2], s[3] - o.cf
            if f < 0 then f = f + l.n; q = q - 1 end
            q = q - o.cq
            if q < 0 then q = q + W; h = h - 1 end
            local slot = h * W + q + (f > 0 and 1 or 0)
            if h < 0 or slot ~= o.time + o.delay then return false end
            local uh, uq, uf = ahead(s)
            s[1], s[2], s[3] = h, q, f
            return uh > 0 or uq > 0 or uf > 0
          end
          return leaky
        end

        local function fixed_end(l) return l.align == 1 and now + l.p or window_end(l.p) end
        local function fixed_add(l, s, cost, most)
          if cost == 0 then return end
          if s[1] == 0 then s[1] = fixed_end(l) end
          s[2] = max(s[2], min(s[2] + cost, most))
        end
        make[2] = function() return {
            load = function(l, s, v)
              s[1], s[2], s[3] = 0, 0, 0
              if v and byte(v, 1) == 3 and #v == 13 then s[1], s[2] = unpack('<dI4', v, 2) end
              if s[1] ~= s[1] then s[1], s[2] = 0, 0 end
            end,
            settle = function(l, s)
              if s[1] <= now then
                local had = s[1] > 0
                s[1], s[2] = 0, 0
                return had
              end
              local e = fixed_end(l)
              if s[1] <= e then return false end
              s[1] = e
              return true
            end,
            allows = function(l, s, o) return s[2] + o.required <= l.n end,
            charge = function(l, s, o) fixed_add(l, s, o.cost, 2 * l.n) end,
            penalize = function(l, s, o) fixed_add(l, s, o.cost, l.n) end,
            debit = function(l, s, o) fixed_add(l, s, o.cost, 2 * l.n) end,
            refund = function(l, s, o)
              if s[2] == 0 or o.time >= s[1] or o.time < s[1] - l.p then return false end
              s[2] = max(0, s[2] - o.cost)
              if s[2] == 0 then s[1] = 0 end
              return true
            end,
            left = function(l, s) return s[2] > 0 and s[1] - now or 0 end,
            save = function(l, s) return pack('<BdI4', 3, s[1], s[2]) end,
        } end

        local function sliding_until(l, s) return s[1] - l.p - now end
        local function sliding_add(l, s, cost, most)
          local p, u = min(s[3], l.n), sliding_until(l, s)
          -- p * u / period, rounded up.
          local share = ceil(p * (u / l.p))
          while exceeds(p, u, share, l.p) do share = share + 1 end
          while share > 0 and not exceeds(p, u, share - 1, l.p) do share = share - 1 end
          s[2] = s[2] + max(0, min(cost, most - s[2] - share))
        end
        make[3] = function() return {
            load = function(l, s, v)
              s[1], s[2], s[3] = 0, 0, 0
              if v and byte(v, 1) == 4 and #v == 17 then s[1], s[2], s[3] = unpack('<dI4I4', v, 2) end
              if s[1] ~= s[1] then s[1], s[2], s[3] = 0, 0, 0 end
            end,
            settle = function(l, s)
              local e = window_end(l.p) + l.p
              if s[1] == e then return false end
              if s[1] > e then
                s[2], s[3] = max(s[2], min(s[2] + min(s[3], l.n), 2 * l.n)), 0
              else
                s[2], s[3] = 0, s[1] == e - l.p and s[2] or 0
              end
              s[1] = e
              return true
            end,
            allows = function(l, s, o)
              local free = l.n - s[2] - o.required
              return free >= 0 and not exceeds(min(s[3], l.n), sliding_until(l, s), free, l.p)
            end,
            charge = function(l, s, o) s[2] = max(s[2], min(s[2] + o.cost, 2 * l.n)) end,
            penalize = function(l, s, o) sliding_add(l, s, o.cost, l.n) end,
            debit = function(l, s, o) sliding_add(l, s, o.cost, 2 * l.n) end,
            refund = function(l, s, o)
              local e = s[1] - l.p
              if s[2] == 0 or o.time >= e or o.time < e - l.p then return false end
              s[2] = max(0, s[2] - o.cost)
              return true
            end,
            left = function(l, s)
              if s[2] > 0 then return s[1] - now end
              return s[3] > 0 and s[1] - l.p - now or 0
            end,
            save = function(l, s) return pack('<BdI4I4', 4, s[1], s[2], s[3]) end,
        } end

        -- A log is a list: a header (the sum, the last and the first entry's times, the last's cost), then an entry for each
        -- instant. It and permits are written at once.
        local function expire(key, ticks) call('PEXPIRE', key, floor(ticks / 1000) + 1 + slack) end
        local function log_head(s) return pack('<BdddI4', 5, s[1], s[2], s[4], s[8]) end
        local function log_write(l, s)
          if s[1] <= 0 then
            call('DEL', s[5])
          else
            call('LSET', s[5], 0, log_head(s))
            expire(s[5], s[2] + l.p - now)
          end
        end
        -- The last entry: one for each instant.
        local function log_push(s, cost)
          if s[2] == now then
            s[8] = s[8] + cost
            call('LSET', s[5], -1, pack('<dI4', now, s[8]))
          else
            call('RPUSH', s[5], pack('<dI4', now, cost))
            s[2], s[8] = now, cost
          end
        end
        local function log_add(l, s, cost, most)
          local added = min(cost, most - s[1])
          if added <= 0 then return end
          if s[1] <= 0 then
            call('DEL', s[5])
            s[1], s[2], s[4], s[8] = added, now, now, added
            call('RPUSH', s[5], log_head(s), pack('<dI4', now, added))
            expire(s[5], l.p)
            return
          end
          log_push(s, added)
          s[1] = s[1] + added
          log_write(l, s)
        end
        make[4] = function() return {
            writes = true,
            load = function(l, s, v)
              s[1], s[2], s[3], s[4], s[8] = 0, 0, 0, 0, 0
              local head = pcall('LINDEX', s[5], 0)
              if type(head) == 'string' and #head == 29 and byte(head, 1) == 5 then
                s[1], s[2], s[4], s[8] = unpack('<dddI4', head, 2)
              elseif head then
                call('DEL', s[5])
              end
            end,
            settle = function(l, s)
              if s[1] <= 0 then return end
              if s[2] > now then
                local moved = 0
                while s[2] > now do
                  call('RPOP', s[5])
                  moved = moved + s[8]
                  local last = call('LINDEX', s[5], -1)
                  if #last == 12 then s[2], s[8] = unpack('<dI4', last) else s[2], s[8] = 0, 0 end
                end
                log_push(s, moved)
                s[4] = min(s[4], now)
                log_write(l, s)
              end
              while s[4] <= now - l.p do
                local entries = call('LRANGE', s[5], 1, 64)
                local dead = 0
                for i = 1, #entries do
                  local time, cost = unpack('<dI4', entries[i])
                  if time > now - l.p then break end
                  dead = i
                  s[1] = s[1] - cost
                end
                if s[1] <= 0 or dead == #entries and dead < 64 then
                  call('DEL', s[5])
                  s[1], s[2], s[4], s[8] = 0, 0, 0, 0
                  return
                end
                call('LTRIM', s[5], dead + 1, -1)
                local first = entries[dead + 1] or call('LINDEX', s[5], 0)
                if not first then
                  s[1], s[2], s[4], s[8] = 0, 0, 0, 0
                  return
                end
                s[4] = unpack('<d', first)
                call('LPUSH', s[5], log_head(s))
              end
            end,
            allows = function(l, s, o)
              s[3] = 0
              if s[1] + o.required <= l.n then return true end
              if o.required > l.n then return false end
              local excess, first = s[1] + o.required - l.n, 1
              while excess > 0 do
                local entries = call('LRANGE', s[5], first, first + 63)
                if #entries == 0 then break end
                for i = 1, #entries do
                  local time, cost = unpack('<dI4', entries[i])
                  excess = excess - cost
                  if excess <= 0 then
                    s[3] = time
                    break
                  end
                end
                first = first + 64
              end
              return false
            end,
            charge = function(l, s, o) log_add(l, s, o.cost, 2 * l.n) end,
            penalize = function(l, s, o) log_add(l, s, o.cost, l.n) end,
            debit = function(l, s, o) log_add(l, s, o.cost, 2 * l.n) end,
            refund = function(l, s, o)
              local length = call('LLEN', s[5])
              local first = length
              while first > 1 do
                local from = max(1, first - 64)
                local entries = call('LRANGE', s[5], from, first - 1)
                for i = #entries, 1, -1 do
                  local time, cost = unpack('<dI4', entries[i])
                  if time == o.time then
                    local back = min(o.cost, cost)
                    local index = from + i - 1
                    if back == cost then
                      call('LSET', s[5], index, 'x')
                      call('LREM', s[5], -1, 'x')
                    else
                      call('LSET', s[5], index, pack('<dI4', time, cost - back))
                    end
                    s[1] = s[1] - back
                    if s[1] > 0 then
                      s[2], s[8] = unpack('<dI4', call('LINDEX', s[5], -1))
                      s[4] = unpack('<d', call('LINDEX', s[5], 1))
                    else
                      s[2], s[4], s[8] = 0, 0, 0
                    end
                    log_write(l, s)
                    return true
                  end
                  if time < o.time then return false end
                end
                first = from
              end
              return false
            end,
            left = function(l, s) return s[1] > 0 and s[2] + l.p - now or 0 end,
        } end

        -- Permits are a sorted set by the end of their leases; its member 'h' is what is held, as -1 - held.
        local function permits_write(s)
          if s[1] <= 0 then
            call('DEL', s[5])
          else
            call('ZADD', s[5], -1 - s[1], 'h')
            expire(s[5], lease)
          end
        end
        local function permits_drop(s, from, to)
          local gone = call('ZRANGEBYSCORE', s[5], from, to)
          for i = 1, #gone do s[1] = s[1] - unpack('<I4', gone[i], 9) end
          return gone
        end
        make[5] = function() return {
            writes = true,
            load = function(l, s, v)
              s[1], s[2], s[3] = 0, 0, 0
              local h = pcall('ZSCORE', s[5], 'h')
              if type(h) == 'string' then s[1] = -1 - tonumber(h) elseif type(h) == 'table' then call('DEL', s[5]) end
            end,
            settle = function(l, s)
              if s[1] <= 0 then return end
              if #permits_drop(s, 0, now) > 0 then
                call('ZREMRANGEBYSCORE', s[5], 0, now)
                permits_write(s)
              end
            end,
            allows = function(l, s, o)
              if o.required == 0 or s[1] + o.required <= l.n then return true end
              -- After the clock went back, leases would last too long.
              local far = call('ZRANGEBYSCORE', s[5], '(' .. string.format('%.0f', now + lease), '+inf')
              for i = 1, #far do call('ZADD', s[5], now + lease, far[i]) end
              return false
            end,
            charge = function(l, s, o)
              call('ZADD', s[5], now + lease, o.id .. pack('<I4', o.cost))
              s[1] = s[1] + o.cost
              permits_write(s)
            end,
            penalize = function() end,
            debit = function() end,
            refund = function(l, s, o)
              if call('ZREM', s[5], o.id .. pack('<I4', o.cost)) == 0 then return false end
              s[1] = s[1] - o.cost
              permits_write(s)
              return true
            end,
            renew = function(l, s, o)
              -- A server that came back empty learns of the permits that are still held.
              if call('ZADD', s[5], now + lease, o.id .. pack('<I4', o.cost)) == 1 then s[1] = s[1] + o.cost end
              permits_write(s)
            end,
            left = function(l, s) return s[1] > 0 and lease or 0 end,
        } end

        -- Made when one is needed, for a call mostly needs one or none.
        local kinds = {}
        local function kind_of(l)
          local kind = kinds[l.kind] or make[l.kind]()
          kinds[l.kind] = kind
          return kind
        end

        local function changed(l, s)
          if not s[10] then dirty[#dirty + 1] = s end
          s[10] = l
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

        local out, ops, k = { pack('<d', now) }, ARGV[5], 1
        local request, count, passes = {}, 0, true

        -- Executes the operation at a position, for the next key. Returns the next operation's position.
        local function execute(pos)
          local code, flags, index, hundreds = byte(ops, pos, pos + 3)
          local l = limits[hundreds * 256 + index + 1]
          local key = KEYS[k]
          -- Bit 5: the key may have come up before in this call, and been written.
          if flags >= 32 and not states[key] then
            local value = pcall('GET', key)
            values[k] = type(value) == 'string' and value
          end
          local s = states[key]
          flags = flags % 16
          -- A busy key: a token bucket whose state is known, and whose cost is all that it needs.
          if flags == 12 and code == 0 and count == 0 and l.small and nowh == 0 and s and s[6] == 0 and s[4] == l.n and s[1] == 0 then
            local cost, cq, cf, after = unpack('<I4dI4', ops, pos + 4)
            local q, f = s[2], s[3]
            local uq, uf = q - now, f
            if uq < 0 then uq, uf = 0, 0 end
            local aq, af = uq + cq, uf + cf
            if af >= l.n then aq, af = aq + 1, af - l.n end
            if uq < l.mq and (aq < l.fq or aq == l.fq and af <= l.ff) then
              if cost > 0 then
                s[2], s[3] = now + aq, af
                changed(l, s)
              end
              out[#out + 1] = pack('<Bddd', cost > 0 and 11 or 9, 0, q, f)
              k = k + 1
              return after
            end
          end
          local kind = kind_of(l)
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

        -- The commonest operations, in few steps: so many keys that come up for the first time, each a token bucket of the
        -- same numbers and cost. What is out of the ordinary takes the long way.
        local function run(l, pos, length)
          local cost, cq, cf = unpack('<I4dI4', ops, pos + 4)
          local n, fq, ff, mq, place, at = l.n, l.fq, l.ff, l.mq, #out, k
          local keys, values, call, unpack, pack, now = KEYS, values, call, unpack, pack, now
          local unused = pack('<Bd', 6, 0)
          -- Times to live are rounded up, so that few of them must be made texts of.
          local step, lives = ceil(max(64000, fq / 16) / 1000) * 1000, {}
          for at = at, at + length - 1 do
            local value = values[at]
            local version, q, f, m = 6, 0, 0, n
            if value then
              version = 0
              if #value == 9 then
                version, q = unpack('<Bd', value)
              elseif #value == 17 then
                version, q, f, m = unpack('<BdI4I4', value)
              end
            end
            local uq, uf = q - now, f
            if uq < 0 then uq, uf = 0, 0 end
            local aq, af = uq + cq, uf + cf
            if af >= n then aq, af = aq + 1, af - n end
            if (version == 6 or version == 1) and m == n and f < n and uq < mq and (aq < fq or aq == fq and af <= ff) then
              local floored = aq - aq % step
              local life = lives[floored]
              if not life then
                life = string.format('%.0f', (floored + step) / 1000 + 1 + slack)
                lives[floored] = life
              end
              call('PSETEX', keys[at], life, af == 0 and pack('<Bd', 6, now + aq) or pack('<BdI4I4', 1, now + aq, af, n))
              place = place + 1
              -- The state before it, as it is kept: what is left is worked out from it.
              out[place] = value or unused
            else
              k = at
              execute(pos)
              place = #out
            end
          end
          k = at + length
        end

        pos = 1
        while pos <= #ops do
          local flags, index, hundreds = byte(ops, pos + 1, pos + 3)
          -- Bit 4: one operation for so many keys.
          if flags % 32 >= 16 then
            local l, length = limits[hundreds * 256 + index + 1], unpack('<I2', ops, pos + 20)
            if l.small and nowh == 0 then
              run(l, pos, length)
            else
              for i = 1, length do execute(pos) end
            end
            pos = pos + 22
          else
            pos = execute(pos)
          end
        end

        for i = 1, #dirty do
          local s = dirty[i]
          local l = s[10]
          -- What was reset meanwhile has no kind.
          if s[6] >= 0 then
            local kind = kinds[s[6]]
            local left = kind.left(l, s)
            -- What has recovered is kept for the slack, in case the clock goes back.
            if left > 0 or s[7] then
              call('PSETEX', s[5], min(floor(max(0, left) / 1000) + 1 + slack, 9007199254740), kind.save(l, s))
            end
          end
        end
        return table.concat(out)
        """#
}
