/* Panels: the part of an operand or of a result that belongs to a box (cpu_box.h), dense in scratch memory.
 *
 *   a panel, for each batch position of the box:       strips of `width` lanes, K x width each:
 *     lanes: positions of M or K (a) or N (b, c)           +-----+-----+--
 *     others: positions of K or M (a), K (b) or M (c)    K |     |     |
 *                                                          +-----+-----+--
 *
 * Elements of memory and panel may have different dtypes; they are converted as cpu_tile.h says. Local. */
#ifndef FUSE_BACKEND_CPU_PANEL_H
#define FUSE_BACKEND_CPU_PANEL_H

#include "backend/cpu_box.h"

struct fuse_panel {
    const struct fuse_boxes *boxes;
    enum fuse_box_operand operand;
    enum fuse_group lane, other;
    int64_t width;               /* lanes of a strip; 0: all of the box's */
    int64_t bytes, stored_bytes; /* of an element in the panel and in memory */
    bool converts;
    bool turns; /* dense in memory along an axis that is not the innermost one of the lanes: */
    enum fuse_group dense;
    int dense_axis;
    fuse_tile_load *load;
    fuse_tile_turn *turn;
    fuse_tile_deal_rows *deal;
    fuse_tile_turn_lanes *turn_lanes; /* NULL where elements have not 32 bits */
};

/* lane: M or K of a, N of the others; width: lanes of a strip, 0: all. */
void fuse_panel_make(struct fuse_panel *panel, const struct fuse_boxes *boxes, enum fuse_box_operand operand,
                     enum fuse_group lane, int64_t width, const struct fuse_tile_table *tile);
/* Elements of the panel of one batch position, given how many lanes and others there are. */
int64_t fuse_panel_step(const struct fuse_panel *panel, int64_t lanes, int64_t others);
/* Fills the panel from memory; range: [FUSE_GROUPS]. Returns how many elements were packed. */
int64_t fuse_panel_pack(const struct fuse_panel *panel, const struct fuse_box_range *range, char *to);
/* Flags of the elements in the panel (fuse_tile_specials). */
int fuse_panel_specials(const struct fuse_panel *panel, const struct fuse_box_range *range, const char *panel_at,
                        fuse_tile_specials *specials);
/* How a result meets what is there. Of the last two, NaN that is there stays, and the panel has none. */
enum fuse_scatter { FUSE_SCATTER_SET, FUSE_SCATTER_ADD, FUSE_SCATTER_MIN, FUSE_SCATTER_MAX };
/* The result from its panel. true: integers overflowed. */
bool fuse_panel_scatter(const struct fuse_panel *panel, const struct fuse_box_range *range, const char *from,
                        enum fuse_scatter how);

#endif
