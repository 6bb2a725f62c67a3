-- One sender's clock, shared by all workers: the generic cell rate algorithm for whole messages, on Redis's own clock.
-- The next message may go as soon as the sender has caught up, however large it is; the clock then runs that much ahead.
-- KEYS: the clock; one "waits" flag for this lane; those of the lanes that go before it, if any.
-- ARGV: rate in segments/s, tolerance in us, size of the next message, most segments wanted, life of the flag in ms.
-- Returns the segments granted. Without enough, the flag keeps the lower lanes waiting, too.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local rate, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local head, want = tonumber(ARGV[3]), tonumber(ARGV[4])
local caught_up = tonumber(redis.call('GET', KEYS[1]) or '0')
local behind = false
for i = 3, #KEYS do
  behind = behind or redis.call('EXISTS', KEYS[i]) == 1
end
if behind or caught_up > now + tolerance then
  redis.call('SET', KEYS[2], '1', 'PX', ARGV[5])
  return 0
end
redis.call('DEL', KEYS[2])
local base = math.max(caught_up, now)
local room = math.floor((now + tolerance - base) * rate / 1000000)
local segments = math.min((math.floor(room / head) + 1) * head, math.max(head, want))
local after = base + math.floor(segments * 1000000 / rate + 0.5)
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return segments
