-- The order was given to the driver.
-- KEYS  the free set, the driver's orders, what the order was taken off the driver with, the claim on the driver
-- ARGV  id, order, sequence, at most for ms
local free, busy, freed, claim = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, order, sequence, busy_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local over = redis.call('GET', freed)
if over and tonumber(over) >= sequence then return 0 end -- the news of its end was faster
local held = redis.call('HGET', busy, order)
if not held or tonumber(held) < sequence then redis.call('HSET', busy, order, sequence) end
redis.call('PEXPIRE', busy, busy_ms)
redis.call('ZREM', free, id)
if redis.call('GET', claim) == order then redis.call('DEL', claim) end
return 1
