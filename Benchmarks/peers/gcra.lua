-- The generic cell rate algorithm for one key: ARGV are burst, rate, period (seconds) and cost. Answers what a decision says.
local key, burst, rate, period, cost = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local interval = period / rate
local increment = interval * cost
local offset = interval * burst
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local tat = tonumber(redis.call('GET', key) or now)
tat = math.max(tat, now)
local new = tat + increment
local room = now - (new - offset)
if room < 0 then
  return { 0, 0, tostring(-room), tostring(tat - now) }
end
local reset = new - now
if reset > 0 then redis.call('SET', key, new, 'EX', math.ceil(reset)) end
return { 1, math.floor(room / interval), tostring(-1), tostring(reset) }
