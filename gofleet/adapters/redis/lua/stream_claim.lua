-- Claims entries of idle consumers, and parks those beyond the delivery limit.
-- KEYS: stream, parking; ARGV: group, consumer, idle for ms, count, delivery limit (-1 = none).
-- Returns {number parked, {entry, consumers lost with it}, ...}.
local taken = {0}
local limit = tonumber(ARGV[5])
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', ARGV[4])) do
  local id, deliveries = pending[1], pending[4]
  if limit >= 0 and deliveries > limit then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry then
      redis.call('XADD', KEYS[2], '*', unpack(entry[2]))
    end
    redis.call('XACK', KEYS[1], ARGV[1], id)
    redis.call('XDEL', KEYS[1], id)
    taken[1] = taken[1] + 1
  else
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], id)[1]
    if entry then
      -- This consumer itself was not lost: FastStream could not read the entry, or it was late.
      taken[#taken + 1] = {entry, pending[2] == ARGV[2] and deliveries - 1 or deliveries}
    end
  end
end
return taken
