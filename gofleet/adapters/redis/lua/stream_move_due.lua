-- Moves due retries back into the stream. KEYS: stream, later; ARGV: count.
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now[1] * 1000 + math.floor(now[2] / 1000),
  'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  redis.call('XADD', KEYS[1], '*', '__data__', string.sub(member, string.find(member, ':', 1, true) + 1))
  redis.call('ZREM', KEYS[2], member)
end
return #due
