-- Replaces an entry by a retry that becomes due later. Does nothing if another consumer has settled the entry.
-- KEYS: stream, later; ARGV: group, entry, delay in ms, the retry.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('XDEL', KEYS[1], ARGV[2])
local now = redis.call('TIME')
local due = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
-- The entry's id makes the member unique, also if the same message waits twice.
redis.call('ZADD', KEYS[2], due, ARGV[2] .. ':' .. ARGV[4])
return 1
