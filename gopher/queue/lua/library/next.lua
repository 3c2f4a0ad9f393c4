-- `next` holds the head of the queue: at most one job, which the blocking pops of idle workers wait for.

local skips_left = 1000 -- jobs that one call may skip: cancelled in their list, or with a corrupt record
local drained = {} -- letter of a priority -> true while nothing is left of it, as far as is known

local function note_skipped(priority, corrupt)
  if not corrupt then
    redis.call('HINCRBY', P .. KEY.tombstones, priority, -1)
  end
  skips_left = skips_left - 1
end

-- Move the first job of a priority to `next`. Returns whether there was one.
local function move_to_next(priority)
  while skips_left > 0 do
    local id = draw_one_to(P .. KEY.next, priority)
    if not id then
      return false
    end
    local fields, corrupt = read_record(id, 'state')
    if fields[1] == STATE.pending then
      if limited_of[id] then
        -- The fetch that starts it checks the limit.
        redis.call('HDEL', P .. KEY.job .. id, 'plain')
      end
      return true
    end
    redis.call('LPOP', P .. KEY.next)
    note_skipped(priority, corrupt)
  end
  return false
end

-- Fill `next`, which must be empty, from the priorities in `order` (letters, the preferred one first; from the most urgent
-- down by default). Returns whether more may be waiting: `next` holds a job, or more has to be skipped.
local function fill_next(order)
  local tried = {}
  for letter in string.gmatch(order or EVERY.letter, '.') do
    if not (tried[letter] or drained[letter]) then
      tried[letter] = true
      if move_to_next(PRIORITY_OF[letter]) then
        return true
      end
    end
  end
  return skips_left <= 0 or rests_left <= 0
end

-- Fill `next` if it is empty and the queue is not paused. Returns what fill_next does.
local function ensure_next(order)
  -- A key that is named twice counts twice, so that one command asks about both.
  local existing = redis.call('EXISTS', P .. KEY.next, P .. KEY.tenant_ids, P .. KEY.tenant_ids)
  if existing % 2 == 1 then
    return true
  end
  has_tenants = existing > 0
  return redis.call('EXISTS', P .. KEY.paused) == 0 and fill_next(order)
end

-- Return whether `next` holds a job of a priority, given by its letter.
local function next_is_of(letter)
  local id = redis.call('LINDEX', P .. KEY.next, 0)
  return id and LETTERS[read_record(id, 'priority')[1]] == letter
end
