-- Put what follows an entry aside until its time, and forget the entry. Nothing if somebody else has settled it.
-- KEYS: stream, later; ARGV: group, entry, delay in ms, what follows.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('XDEL', KEYS[1], ARGV[2])
local now = redis.call('TIME')
local due = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
-- The entry's id makes the member unlike any other, also if the same message waits twice.
redis.call('ZADD', KEYS[2], due, ARGV[2] .. ':' .. ARGV[4])
return 1
