-- The order was assigned to the driver.
-- KEYS  index of free drivers, the driver's orders, the sequence with which it was freed from the order, its claim
-- ARGV  id, order, sequence, busy for at most ms
local free, busy, freed, claim = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, order, sequence, busy_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local over = redis.call('GET', freed)
if over and tonumber(over) >= sequence then return 0 end -- the event that ended it arrived first
local held = redis.call('HGET', busy, order)
if not held or tonumber(held) < sequence then redis.call('HSET', busy, order, sequence) end
redis.call('PEXPIRE', busy, busy_ms)
redis.call('ZREM', free, id)
if redis.call('GET', claim) == order then redis.call('DEL', claim) end
return 1
