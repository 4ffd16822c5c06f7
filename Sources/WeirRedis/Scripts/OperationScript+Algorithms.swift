/// The algorithms of ``OperationScript``: each is a table of functions of a limit `l`, a state `s` and an operation
/// `o`.
///
/// `load` reads a stored state and `settle` brings it up to now. `allows` tells whether a charge passes. `charge`,
/// `penalize`, `debit`, `refund` and `credit` change the state. `left` is how long the state matters, and `save`
/// encodes it for storing.
extension OperationScript {
    static let buckets = #"""
        -- Tables are made on demand: most calls need one or none.
        local make = {}

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
        -- f * m / n, rounded up, exactly; f, m, n < 2^30.
        local function rescale(f, m, n)
          local f1 = floor(f / 32768)
          local a = f1 * m
          local q1 = floor(a / n)
          local b = (a - q1 * n) * 32768 + (f - f1 * 32768) * m
          return q1 * 32768 + ceil(b / n)
        end
        local function bucket_add(l, s, o, h, q, f)
          local uh, uq, uf = ahead(s)
          local ah, aq, af = add(l.n, uh, uq, uf, o.ch, o.cq, o.cf)
          if above(ah, aq, af, h, q, f) then ah, aq, af = h, q, f end
          if above(ah, aq, af, uh, uq, uf) then set(s, l.n, ah, aq, af) end
        end

        local function bucket_back(l, s, ch, cq, cf)
          local h, q, f = ahead(s)
          if h == 0 and q == 0 and f == 0 then return false end
          if above(ch, cq, cf, h, q, f) then
            set(s, l.n, 0, 0, 0)
          else
            f = f - cf
            if f < 0 then f = f + l.n; q = q - 1 end
            q = q - cq
            if q < 0 then q = q + W; h = h - 1 end
            set(s, l.n, h - ch, q, f)
          end
          return true
        end

        make[\#(Kind.tokenBucket.rawValue)] = function() return {
            load = function(l, s, v)
              s.debt = false
              if v and \#(State.wholeBucket.matches("v")) then
                s[1], s[2], s[3], s[4] = 0, (unpack(\#(State.wholeBucket.unpacking), v, 2)), 0, l.n
              elseif v and \#(State.bucket.matches("v")) then
                s[1], s[2], s[3], s[4] = 0, unpack(\#(State.bucket.unpacking), v, 2)
              elseif v and \#(State.longBucket.matches("v")) then
                s[1], s[2], s[3], s[4] = unpack(\#(State.longBucket.unpacking), v, 2)
              elseif v and \#(State.indebtedBucket.matches("v")) then
                s[1], s[2], s[3], s[4] = unpack(\#(State.indebtedBucket.unpacking), v, 2)
                s.debt = true
              end
              local h, q = s[1], s[2]
              if not (s[4] and h >= 0 and h < 1073741824 and q >= 0 and q < 9007199254740992 and s[3] < s[4]) then
                s[1], s[2], s[3], s[4] = 0, 0, 0, l.n
              end
              if s[2] >= W then
                local over = floor(s[2] / W)
                s[1], s[2] = s[1] + over, s[2] - over * W
              end
            end,
            -- Returns whether anything but the passing of time changed the state. Such a state is written, as in
            -- memory.
            settle = function(l, s)
              local rescaled = s[4] ~= l.n
              if rescaled then
                s[1], s[2], s[3] = add(l.n, s[1], s[2], rescale(s[3], l.n, s[4]), 0, 0, 0)
                s[4] = l.n
              end
              local h, q, f = ahead(s)
              local mh, mq, mf = l.mh, l.mq, l.mf
              -- Debt may lie further ahead of the clock than anything else.
              if s.debt then
                mh, mq, mf = l.dh, l.dq, l.df
                s.debt = above(h, q, f, l.fh, l.fq, l.ff)
                -- Other numbers might put the bucket into debt again.
                rescaled = rescaled or not s.debt
              end
              if not above(h, q, f, mh, mq, mf) then return rescaled end
              set(s, l.n, mh, mq, mf)
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
            debit = function(l, s, o)
              bucket_add(l, s, o, l.dh, l.dq, l.df)
              local h, q, f = ahead(s)
              s.debt = above(h, q, f, l.fh, l.fq, l.ff)
            end,
            refund = function(l, s, o)
              -- Time has given back some of the charge already.
              local ch, cq, passed = o.ch, o.cq, max(0, now - o.time)
              if not above(ch, cq, o.cf, 0, passed, 0) then return false end
              cq = cq - passed
              if cq < 0 then cq = cq + W; ch = ch - 1 end
              return bucket_back(l, s, ch, cq, o.cf)
            end,
            credit = function(l, s, o) return bucket_back(l, s, o.ch, o.cq, o.cf) end,
            left = function(l, s)
              local h, q, f = ahead(s)
              if f > 0 then q = q + 1 end
              return h * W + q
            end,
            -- Most rates divide evenly, and nine bytes take less room than seventeen.
            save = function(l, s)
              if s.debt then return pack(\#(State.indebtedBucket.packing), s[1], s[2], s[3], s[4]) end
              if s[1] == 0 and s[3] == 0 then return pack(\#(State.wholeBucket.packing), s[2]) end
              if s[1] == 0 then return pack(\#(State.bucket.packing), s[2], s[3], s[4]) end
              return pack(\#(State.longBucket.packing), s[1], s[2], s[3], s[4])
            end,
        } end

        make[\#(Kind.leakyBucket.rawValue)] = function()
          local leaky = make[\#(Kind.tokenBucket.rawValue)]()
          leaky.allows = function(l, s, o)
            if o.required > l.n then return false end
            local h, q, f = ahead(s)
            if o.held then h, q, f = add(l.n, h, q, f, o.hh, o.hq, o.hf) end
            if o.required == 0 then return not above(h, q, f, 0, l.fq + l.wait, 0) end
            return not above(h, q, f, 0, l.wait, 0)
          end
          leaky.debit = function(l, s, o) bucket_add(l, s, o, l.mh, l.mq, l.mf) end
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
        """#

    static let windows = #"""
        -- Whether a * b > c * d, exactly; a, c < 2^30, b, d < 2^45.
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

        local function fixed_end(l) return l.align == \#(Limits.firstRequest) and now + l.p or window_end(l.p) end
        local function fixed_add(l, s, cost, most)
          if cost == 0 then return end
          if s[1] == 0 then s[1] = fixed_end(l) end
          s[2] = max(s[2], min(s[2] + cost, most))
        end
        make[\#(Kind.fixedWindow.rawValue)] = function() return {
            load = function(l, s, v)
              s[1], s[2], s[3] = 0, 0, 0
              if v and \#(State.fixedWindow.matches("v")) then s[1], s[2] = unpack(\#(State.fixedWindow.unpacking), v, 2) end
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
            credit = function(l, s, o)
              if s[2] == 0 then return false end
              s[2] = max(0, s[2] - o.cost)
              if s[2] == 0 then s[1] = 0 end
              return true
            end,
            -- When the present window began.
            start = function(l, s) return (s[1] > 0 and s[1] or fixed_end(l)) - l.p end,
            left = function(l, s) return s[2] > 0 and s[1] - now or 0 end,
            save = function(l, s) return pack(\#(State.fixedWindow.packing), s[1], s[2]) end,
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
        make[\#(Kind.slidingWindow.rawValue)] = function() return {
            load = function(l, s, v)
              s[1], s[2], s[3] = 0, 0, 0
              if v and \#(State.slidingWindow.matches("v")) then s[1], s[2], s[3] = unpack(\#(State.slidingWindow.unpacking), v, 2) end
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
            debit = function(l, s, o) s[2] = max(s[2], min(s[2] + o.cost, 2 * l.n)) end,
            refund = function(l, s, o)
              local e = s[1] - l.p
              if s[2] == 0 or o.time >= e or o.time < e - l.p then return false end
              s[2] = max(0, s[2] - o.cost)
              return true
            end,
            credit = function(l, s, o)
              if s[2] == 0 and s[3] == 0 then return false end
              s[3] = max(0, min(s[3], l.n) - max(0, o.cost - s[2]))
              s[2] = max(0, s[2] - o.cost)
              return true
            end,
            start = function(l, s) return s[1] - 2 * l.p end,
            left = function(l, s)
              if s[2] > 0 then return s[1] - now end
              return s[3] > 0 and s[1] - l.p - now or 0
            end,
            save = function(l, s) return pack(\#(State.slidingWindow.packing), s[1], s[2], s[3]) end,
        } end
        """#

    static let log = #"""
        -- A log is a list: a header (the sum, the times of the last and the first entry, the cost of the last), then
        -- one entry for each instant. Logs and permits are written at once.
        local function expire(key, ticks)
          call('PEXPIRE', key, min(floor(ticks / 1000) + 1 + slack, 9007199254740))
        end
        local function log_head(s) return pack(\#(State.log.packing), s[1], s[2], s[4], s[8]) end
        local function log_write(l, s)
          if s[1] <= 0 then
            call('DEL', s[5])
          else
            call('LSET', s[5], 0, log_head(s))
            expire(s[5], s[2] + l.p - now)
          end
        end
        -- Adds to the last entry, because there is one for each instant.
        local function log_push(s, cost)
          if s[2] == now then
            s[8] = s[8] + cost
            call('LSET', s[5], -1, pack('<\#(LogEntry.fields)', now, s[8]))
          else
            call('RPUSH', s[5], pack('<\#(LogEntry.fields)', now, cost))
            s[2], s[8] = now, cost
          end
        end
        local function log_add(l, s, cost)
          -- Of one instant, more than twice the count makes no difference.
          local added = min(cost, max(0, 2 * l.n - (s[1] > 0 and s[2] == now and s[8] or 0)))
          if added <= 0 then return end
          if s[1] <= 0 then
            call('DEL', s[5])
            s[1], s[2], s[4], s[8] = added, now, now, added
            call('RPUSH', s[5], log_head(s), pack('<\#(LogEntry.fields)', now, added))
            expire(s[5], l.p)
            return
          end
          log_push(s, added)
          s[1] = s[1] + added
          log_write(l, s)
        end
        make[\#(Kind.slidingLog.rawValue)] = function() return {
            writes = true,
            load = function(l, s, v)
              s[1], s[2], s[3], s[4], s[8] = 0, 0, 0, 0, 0
              local head = pcall('LINDEX', s[5], 0)
              if type(head) == 'string' and \#(State.log.matches("head")) then
                s[1], s[2], s[4], s[8] = unpack(\#(State.log.unpacking), head, 2)
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
                  if #last == \#(LogEntry.length) then s[2], s[8] = unpack('<\#(LogEntry.fields)', last) else s[2], s[8] = 0, 0 end
                end
                log_push(s, moved)
                s[4] = min(s[4], now)
                log_write(l, s)
              end
              while s[4] <= now - l.p do
                local entries = call('LRANGE', s[5], 1, 64)
                local dead = 0
                for i = 1, #entries do
                  local time, cost = unpack('<\#(LogEntry.fields)', entries[i])
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
                  local time, cost = unpack('<\#(LogEntry.fields)', entries[i])
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
            charge = function(l, s, o) log_add(l, s, o.cost) end,
            penalize = function(l, s, o) log_add(l, s, min(o.cost, l.n - s[1])) end,
            debit = function(l, s, o) log_add(l, s, o.cost) end,
            -- Gives back what was charged last, first.
            credit = function(l, s, o)
              if s[1] <= 0 then return false end
              local left = o.cost
              while left > 0 and s[1] > 0 do
                local back = min(left, s[8])
                left, s[1] = left - back, s[1] - back
                if back < s[8] then
                  s[8] = s[8] - back
                  call('LSET', s[5], -1, pack('<\#(LogEntry.fields)', s[2], s[8]))
                else
                  call('RPOP', s[5])
                  if s[1] > 0 then
                    s[2], s[8] = unpack('<\#(LogEntry.fields)', call('LINDEX', s[5], -1))
                  else
                    s[2], s[4], s[8] = 0, 0, 0
                  end
                end
              end
              log_write(l, s)
              return true
            end,
            refund = function(l, s, o)
              local length = call('LLEN', s[5])
              local first = length
              while first > 1 do
                local from = max(1, first - 64)
                local entries = call('LRANGE', s[5], from, first - 1)
                for i = #entries, 1, -1 do
                  local time, cost = unpack('<\#(LogEntry.fields)', entries[i])
                  if time == o.time then
                    local back = min(o.cost, cost)
                    local index = from + i - 1
                    if back == cost then
                      call('LSET', s[5], index, 'x')
                      call('LREM', s[5], -1, 'x')
                    else
                      call('LSET', s[5], index, pack('<\#(LogEntry.fields)', time, cost - back))
                    end
                    s[1] = s[1] - back
                    if s[1] > 0 then
                      s[2], s[8] = unpack('<\#(LogEntry.fields)', call('LINDEX', s[5], -1))
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
        """#

    static let permits = #"""
        -- Permits are a sorted set, scored by the end of their leases. The score of the member '\#(Permits.heldMember)'
        -- is -1 - held.
        local function permits_write(s)
          if s[1] <= 0 then
            call('DEL', s[5])
          else
            call('ZADD', s[5], -1 - s[1], '\#(Permits.heldMember)')
            expire(s[5], lease)
          end
        end
        local function permits_drop(s, from, to)
          local gone = call('ZRANGEBYSCORE', s[5], from, to)
          for i = 1, #gone do s[1] = s[1] - unpack('<\#(Permits.cost)', gone[i], \#(Permits.costOffset + 1)) end
          return gone
        end
        make[\#(Kind.concurrency.rawValue)] = function() return {
            writes = true,
            load = function(l, s, v)
              s[1], s[2], s[3] = 0, 0, 0
              local h = pcall('ZSCORE', s[5], '\#(Permits.heldMember)')
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
              call('ZADD', s[5], now + lease, o.id .. pack('<\#(Permits.cost)', o.cost))
              s[1] = s[1] + o.cost
              permits_write(s)
            end,
            penalize = function() end,
            debit = function() end,
            credit = function() return false end,
            refund = function(l, s, o)
              if call('ZREM', s[5], o.id .. pack('<\#(Permits.cost)', o.cost)) == 0 then return false end
              s[1] = s[1] - o.cost
              permits_write(s)
              return true
            end,
            renew = function(l, s, o)
              -- A server that came back empty learns of permits that are still held.
              if call('ZADD', s[5], now + lease, o.id .. pack('<\#(Permits.cost)', o.cost)) == 1 then s[1] = s[1] + o.cost end
              permits_write(s)
            end,
            left = function(l, s) return s[1] > 0 and lease or 0 end,
        } end
        """#

    static let holds = #"""
        -- The holds of a key are a sorted set like permits: held units, and the set's key.
        local all_holds = {}
        local function holds_of(key)
          local holds = all_holds[key]
          if not holds then
            holds = { 0, key }
            local score = pcall('ZSCORE', key, '\#(Permits.heldMember)')
            if type(score) == 'string' then
              holds[1] = min(\#(ScriptFormat.mostHeld), -1 - tonumber(score))
            elseif type(score) == 'table' then
              call('DEL', key)
            end
            all_holds[key] = holds
          end
          return holds
        end
        local function holds_write(l, holds)
          if holds[1] <= 0 then
            holds[1] = 0
            -- An empty set is gone; one with marks is kept for as long as it was.
            call('ZREM', holds[2], '\#(Permits.heldMember)')
          else
            call('ZADD', holds[2], -1 - holds[1], '\#(Permits.heldMember)')
            -- Kept until a hold whose lease has ended would have drained.
            expire(holds[2], lease + 2 * l.p * ceil(holds[1] / l.n))
          end
        end
        -- A hold whose lease has ended is charged, and marked by a score far below all others: its process may live on.
        local MARK = \#(Permits.chargedMark)
        local function is_charged(holds, member)
          local score = call('ZSCORE', holds[2], member)
          return score and tonumber(score) < MARK / 2
        end
        local function hold(l, holds, id, units)
          local member = id .. pack('<\#(Permits.cost)', units)
          if is_charged(holds, member) then return end
          if call('ZADD', holds[2], now + lease, member) == 1 then
            holds[1] = min(\#(ScriptFormat.mostHeld), holds[1] + units)
          end
          holds_write(l, holds)
        end
        -- Ends a hold. Returns whether there was one, and the units of it that were charged already.
        local function release(l, holds, id, units)
          local member = id .. pack('<\#(Permits.cost)', units)
          local charged = is_charged(holds, member)
          if call('ZREM', holds[2], member) == 0 then return false, 0 end
          if charged then return true, units end
          holds[1] = holds[1] - units
          holds_write(l, holds)
          return true, 0
        end

        -- The worth of some units in a bucket, units * p / n, exactly; units, n < 2^30, p < 2^45.
        local function worth(l, units)
          local whole = floor(l.p / l.n)
          local part, high = l.p - whole * l.n, floor(units / 32768)
          local x = high * part
          local c1 = floor(x / l.n)
          local y = (x - c1 * l.n) * 32768 + (units - high * 32768) * part
          local c2 = floor(y / l.n)
          local w1 = floor(whole / 4194304)
          local top = units * w1
          local h = floor(top / 1073741824)
          local q = (top - h * 1073741824) * 4194304
          local hh, qq, ff = add(l.n, h, q, y - c2 * l.n, 0, units * (whole - w1 * 4194304), 0)
          return add(l.n, hh, qq, ff, 0, c1 * 32768 + c2, 0)
        end

        -- Charges a bucket as of an earlier time.
        local function charge_at(l, s, at, units)
          local th = floor(at / W)
          local tq, tf = at - th * W, 0
          if above(s[1], s[2], s[3], th, tq, tf) then th, tq, tf = s[1], s[2], s[3] end
          s[1], s[2], s[3] = add(l.n, th, tq, tf, worth(l, units))
          s[4] = l.n
          local dh, dq, df = l.dh, l.dq, l.df
          if l.kind ~= \#(Kind.tokenBucket.rawValue) then dh, dq, df = l.mh, l.mq, l.mf end
          local h, q, f = ahead(s)
          if above(h, q, f, dh, dq, df) then set(s, l.n, dh, dq, df) end
          s.debt = l.kind == \#(Kind.tokenBucket.rawValue) and above(h, q, f, l.fh, l.fq, l.ff)
        end

        -- Adds what is held to what a charge requires: units that don't drain are like a larger cost.
        local function count_holds(l, o, held)
          if not o.held then o.required1, o.rh1, o.rq1, o.rf1 = o.required, o.rh, o.rq, o.rf end
          o.held = held
          if l.kind == \#(Kind.leakyBucket.rawValue) then
            o.hh, o.hq, o.hf = worth(l, held)
            return
          end
          o.required = o.required1 + held
          if l.kind == \#(Kind.tokenBucket.rawValue) then
            local h, q, f = worth(l, held)
            o.rh, o.rq, o.rf = add(l.n, o.rh1, o.rq1, o.rf1, h, q, f)
          end
        end

        -- Charges the holds whose leases have ended, as of then: what has drained since is left out.
        local function end_leases(l, s, kind, holds)
          if holds[1] <= 0 then return end
          local gone = call('ZRANGEBYSCORE', holds[2], 0, now, 'WITHSCORES')
          if #gone == 0 then return end
          call('ZREMRANGEBYSCORE', holds[2], '-inf', string.format('%.0f', MARK + now - \#(ScriptFormat.markLife * 1000)))
          for i = 1, #gone, 2 do
            local units = unpack('<\#(Permits.cost)', gone[i], \#(Permits.costOffset + 1))
            local at = tonumber(gone[i + 1])
            call('ZADD', holds[2], MARK + at, gone[i])
            holds[1] = holds[1] - units
            if l.kind <= \#(Kind.lastBucket.rawValue) then
              charge_at(l, s, at, units)
              if not kind.writes then changed(l, s) end
            elseif now - at < l.p and (l.kind == \#(Kind.slidingLog.rawValue) or at >= kind.start(l, s)) then
              kind.debit(l, s, { cost = units })
              if not kind.writes then changed(l, s) end
            elseif l.kind == \#(Kind.slidingWindow.rawValue) and at >= kind.start(l, s) - l.p then
              s[3] = s[3] + units
              changed(l, s)
            end
          end
          holds_write(l, holds)
        end

        -- After the clock went back, leases would last too long.
        local function shorten_leases(holds)
          local far = call('ZRANGEBYSCORE', holds[2], '(' .. string.format('%.0f', now + lease), '+inf')
          for i = 1, #far do call('ZADD', holds[2], now + lease, far[i]) end
        end
        """#
}
