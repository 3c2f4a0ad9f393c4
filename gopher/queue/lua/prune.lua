-- Remove old records: finished jobs whose record has expired leave the index, as do redrives, cancellations and
-- batches that have ended; the oldest dead letters are deleted.
--
-- finished, failed -> -
--
-- KEYS  1 prefix
-- ARGV  1 limit  2 place in the index to start from  3 ms that a dead letter is kept  4 how many are kept
-- Returns  how many left the index, the place to start from next time (0: from the beginning), how many
--       dead letters were deleted, how many ids of corrupt records are noted

local limit, place = tonumber(ARGV[1]), tonumber(ARGV[2])
local finished, failed = P .. KEY.finished, P .. KEY.failed

local ids = redis.call('ZRANGE', finished, place, place + limit - 1)
local gone = {}
for _, id in ipairs(ids) do
  if redis.call('EXISTS', P .. KEY.job .. id) == 0 then
    gone[#gone + 1] = id
  end
end
for _, id in ipairs(gone) do
  redis.call('ZREM', finished, id)
end
local next_place = #ids < limit and 0 or place + #ids - #gone

local surplus = redis.call('ZCARD', failed) - tonumber(ARGV[4])
local dead = redis.call('ZRANGEBYSCORE', failed, '-inf', now - tonumber(ARGV[3]), 'LIMIT', 0, limit)
if surplus > #dead then
  dead = redis.call('ZRANGE', failed, 0, math.min(surplus, limit) - 1)
end
for _, id in ipairs(dead) do
  remove_dead_letter(id)
  redis.call('DEL', P .. KEY.job .. id)
end
forget_operations(KEY.redrives, KEY.redrive, limit)
forget_operations(KEY.cancellations, KEY.cancellation, limit)

for _, id in ipairs(redis.call('ZRANDMEMBER', P .. KEY.batches, 100)) do
  if redis.call('EXISTS', P .. KEY.batch .. id) == 0 then
    redis.call('ZREM', P .. KEY.batches, id)
    redis.call('ZREM', P .. KEY.batch_work, id)
  end
end

-- A job that was just delivered to a worker still counts as waiting.
local function is_any_delivered()
  for _, workers in ipairs({ P .. KEY.workers, P .. KEY.fenced }) do
    for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
      if redis.call('EXISTS', P .. KEY.processing .. worker) == 1 then
        return true
      end
    end
  end
  return false
end

if redis.call('EXISTS', P .. KEY.waiting) == 1 and not (holds_waiting_jobs() or is_any_delivered()) then
  -- What is left is of jobs that workers of earlier versions started.
  redis.call('DEL', P .. KEY.waiting)
end
if #dead > 0 then
  redis.call('HINCRBY', P .. KEY.totals, COUNTER.pruned_dead, #dead)
end
return { #gone, next_place, #dead, redis.call('SCARD', P .. KEY.corrupt) }
