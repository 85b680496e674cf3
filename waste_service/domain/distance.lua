-- Dijkstra's algorithm (Numerische Mathematik 1, 1959) on an indexed binary heap, for LuaJIT: distance.py says why.
-- Given the ways from place to place by number (starts, ends, lengths: 32 bits each), gives a function that finds,
-- from a start, the places in reach, nearest first, ties by number, and the metres to each place (infinite: none).
local ffi = require "ffi"
local bit = require "bit"

local function numbers(bytes)
  return ffi.cast("const int32_t*", bytes)
end

-- The ways in the order of their starts: those of place p are from first[p] up to, without, first[p + 1].
local function by_start(starts, ends, lengths, count, places)
  local first = ffi.new("int32_t[?]", places + 1)
  local to, metres = ffi.new("int32_t[?]", count), ffi.new("int32_t[?]", count)
  for way = 0, count - 1 do
    first[starts[way]] = first[starts[way]] + 1
  end
  for place = 1, places do
    first[place] = first[place] + first[place - 1]
  end
  for way = count - 1, 0, -1 do
    local at = first[starts[way]] - 1
    first[starts[way]], to[at], metres[at] = at, ends[way], lengths[way]
  end
  return first, to, metres
end

local function find(first, to, length, places, start)
  local metres = ffi.new("double[?]", places)
  for place = 0, places - 1 do
    metres[place] = math.huge
  end
  local heap, size = ffi.new("int32_t[?]", places + 1), 1 -- from 1; the children of i are 2i and 2i + 1
  local at = ffi.new("int32_t[?]", places) -- where in the heap a place is; 0 before it is seen
  local order, count = ffi.new("int32_t[?]", places), 0
  heap[1], metres[start], at[start] = start, 0, 1
  while size > 0 do
    local place = heap[1]
    local here = metres[place]
    order[count] = place
    count = count + 1

    local last = heap[size] -- takes the place of the first, and sinks
    local far = metres[last]
    size = size - 1
    local i, child = 1, 2
    while child <= size do
      local near = heap[child]
      local its = metres[near]
      if child < size then
        local other = heap[child + 1]
        local others = metres[other]
        if others < its or (others == its and other < near) then
          child, near, its = child + 1, other, others
        end
      end
      if far < its or (far == its and last < near) then break end
      heap[i], at[near] = near, i
      i, child = child, 2 * child
    end
    heap[i], at[last] = last, i

    for way = first[place], first[place + 1] - 1 do
      local neighbour = to[way]
      local through = here + length[way]
      if through < metres[neighbour] then -- never so when it has left the heap: no way is shorter than 1
        metres[neighbour] = through
        local i = at[neighbour]
        if i == 0 then
          size = size + 1
          i = size
        end
        while i > 1 do
          local above = bit.rshift(i, 1)
          local parent = heap[above]
          if metres[parent] < through or (metres[parent] == through and parent < neighbour) then break end
          heap[i], at[parent] = parent, i
          i = above
        end
        heap[i], at[neighbour] = neighbour, i
      end
    end
  end
  return ffi.string(order, 4 * count), ffi.string(metres, 8 * places)
end

return function(starts, ends, lengths, places)
  local first, to, length = by_start(numbers(starts), numbers(ends), numbers(lengths), #starts / 4, places)
  return function(start)
    return find(first, to, length, places, start)
  end
end
