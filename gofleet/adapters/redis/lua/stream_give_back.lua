-- Lets other consumers claim this consumer's pending entries between two ids at once; with '-' and '+' all of them, and
-- the consumer leaves the group. The consumer did not die, so the delivery does not count towards the limit.
-- KEYS: stream; ARGV: group, consumer, first, last, an idle time beyond every limit.
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[4], 10000, ARGV[2])) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], 'given-back', 0, pending[1], 'IDLE', ARGV[5],
    'RETRYCOUNT', math.max(pending[4] - 1, 0), 'JUSTID')
end
if ARGV[3] == '-' and #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return 0
