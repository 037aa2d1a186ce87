/* Runs a fuzz target on every file of some folders, for builds without libFuzzer: usage replay_NAME FOLDER... A crash names the
 * file, which was printed before. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int replay_file(const char *path) {
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &info) != 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    if (!S_ISREG(info.st_mode)) {
        fclose(file);
        return 0;
    }
    printf("%s\n", path);
    fflush(stdout);
    /* Exactly as large as the file, so that a sanitizer sees a byte too far. */
    uint8_t *data = malloc((size_t)info.st_size + (info.st_size == 0));
    size_t bytes = fread(data, 1, (size_t)info.st_size, file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    return 1;
}

int main(int count, char **folder) {
    int files = 0;
    for (int i = 1; i < count; i++) {
        DIR *open = opendir(folder[i]);
        if (!open) {
            fprintf(stderr, "%s is no folder\n", folder[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(open));) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", folder[i], entry->d_name);
            files += replay_file(path);
        }
        closedir(open);
    }
    printf("%d files\n", files);
    return files > 0 ? 0 : 1;
}
